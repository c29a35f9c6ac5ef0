"""Names of persons."""

import pytest

from luthier.data.recognisers.hit import words
from luthier.data.recognisers.names import named, names
from luthier.data.spans import settle


def found(text: str, language: str = "en") -> list[str]:
    return [text[span.start : span.end] for span in settle(text, names(text, language))]


@pytest.mark.parametrize(
    ("language", "text", "name"),
    [
        ("en", "My name is Xanthe Quibell and I need a card.", "Xanthe Quibell"),
        ("en", "my name is maria lopez, hello", "maria lopez"),
        ("en", "Hi, I'm Xanthe Quibell.", "Xanthe Quibell"),
        ("en", "Dear Mrs. Quibell, thank you", "Quibell"),
        ("en", "This is Anna speaking", "Anna"),
        ("en", "Where is my money?\nKind regards,\nXanthe P. Quibell", "Xanthe P. Quibell"),
        ("en", "Hello, Xanthe Quibell, card 4111", "Xanthe Quibell"),
        ("en", "Xanthe Quibell here, I have a question", "Xanthe Quibell"),
        ("en", "Good morning, Xanthe van der Quibell. I lost it", "Xanthe van der Quibell"),
        ("en", "The account of JOHN SMITH please", "JOHN SMITH"),
        ("en", "my wife Jane's card", "Jane"),
        ("de", "Mein Name ist Öznur Kübelbeck.", "Öznur Kübelbeck"),
        ("de", "Ich bin Xaver Quandt und ziehe um", "Xaver Quandt"),
        ("de", "Sehr geehrter Herr Dr. Quandt, danke", "Quandt"),
        ("de", "Hier spricht Xaver Quandt", "Xaver Quandt"),
        ("de", "Bitte überweisen an Petra von Quandt", "Petra von Quandt"),
        ("de", "Danke!\nMit freundlichen Grüßen\nXaver Quandt", "Xaver Quandt"),
        ("de", "Hat Jürgen Konto und Karte?", "Jürgen"),
        ("es", "Me llamo Xiomara Quesada Peña.", "Xiomara Quesada Peña"),
        ("es", "Soy Xiomara Quesada, buenos días", "Xiomara Quesada"),
        ("es", "Estimada Sra. Quesada:", "Quesada"),
        ("es", "a nombre de Joaquín de la Peña", "Joaquín de la Peña"),
        ("fr", "Je m'appelle Xavière Quénot", "Xavière Quénot"),
    ],
)
def test_names(language, text, name):
    assert found(text, language) == [name]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Hello there, I am a Premium customer. Thank you!"),
        ("en", "I'm British. This is Visa. Hi Team, Dear Customer,"),
        ("en", "My name is wrong on the card"),
        ("en", "The Everyday account, Online Banking and Mastercard Gold"),
        ("en", "I will pay in May or June, on Monday"),
        ("de", "Ich bin Kunde. Guten Tag, Danke, Sehr geehrte Damen und Herren"),
        ("de", "Die Karte kostet Geld, der Kontoauszug nicht."),
        ("es", "Soy cliente. Buenos días, gracias, Estimados señores"),
    ],
)
def test_what_is_nobodys_name(language, text):
    assert found(text, language) == []


def test_the_lists_do_not_contradict_each_other():
    assert not words("given_names") & words("not_names")


@pytest.mark.parametrize(
    ("text", "label", "left"),
    [
        ("I'm Xanthe Quibell now", "I'm Xanthe Quibell", "Xanthe Quibell"),
        ("Mr. Quibell\nBerlin", "Mr. Quibell\nBerlin", "Quibell"),
        ("the Heron Gold card", "Heron", ""),
        ("in Port Elm", "Port Elm", ""),
        ("paid Fennick Books", "Fennick Books", ""),
        ("with ATM", "ATM", ""),
        ("room B12", "B12", ""),
    ],
)
def test_what_the_language_model_says_is_cut_to_what_can_be_a_name(text, label, left):
    start = text.index(label)
    low, high = named(text, start, start + len(label), "PERSON")
    assert text[low:high] == left
