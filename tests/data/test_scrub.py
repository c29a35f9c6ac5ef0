"""Dialogues, scrubbed."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data.scrub import OVERLAP, WINDOW, PresidioScrubber, absent
from luthier.data.spans import subject_key

DIALOGUE = [
    "Hi, I'm Anna Schmidt. Card 4111 1111 1111 1111, IBAN DE89 3704 0044 0532 0130 00.",
    "Hello Mrs Schmidt, may I have your telephone number and address?",
    "020 7946 0958, anna@example.com, 12 Mill Lane. My brother Peter Brown pays: DE89370400440532013000.",
    "Thank you, Anna. We shall call +44 20 7946 0958.",
]


def test_one_placeholder_for_one_value(scrubber):
    assert [text.text for text in scrubber.dialogue(DIALOGUE, "en")] == [
        "Hi, I'm <PERSON_1>. Card <CARD_1>, IBAN <IBAN_1>.",
        "Hello Mrs <PERSON_1>, may I have your telephone number and address?",
        "<PHONE_1>, <EMAIL_1>, <ADDRESS_1>. My brother <PERSON_2> pays: <IBAN_1>.",
        "Thank you, <PERSON_1>. We shall call <PHONE_2>.",
    ]


def test_what_was_found_stands_where_it_is_said_to(scrubber):
    for text, scrubbed in zip(DIALOGUE, scrubber.dialogue(DIALOGUE, "en"), strict=True):
        assert all(text[item.start : item.end] == item.text for item in scrubbed.found)
        assert [item.start for item in scrubbed.found] == sorted(item.start for item in scrubbed.found)


def test_a_name_found_once_is_found_everywhere(scrubber):
    first, second, third = scrubber.dialogue(
        ["My name is Xanthe Quibell", "is the card of Quibell here? QUIBELL's one", "quibell and the Quibbles"], "en"
    )
    assert first.text == "My name is <PERSON_1>"
    assert second.text == "is the card of <PERSON_1> here? <PERSON_1>'s one"
    assert third.text == "quibell and the Quibbles"


def test_a_number_that_needed_its_words_is_found_without_them(scrubber):
    first, second = scrubber.dialogue(["Call me on 78 651 450", "was it 78-651-450?"], "en")
    assert (first.text, second.text) == ("Call me on <PHONE_1>", "was it <PHONE_1>?")


def test_placeholders_that_are_there_stay_and_keep_their_numbers(scrubber):
    (scrubbed,) = scrubber.dialogue(["I'm <PERSON_1>, my wife is Anna Schmidt, <IBAN_7>"], "en")
    assert scrubbed.text == "I'm <PERSON_1>, my wife is <PERSON_2>, <IBAN_7>"
    assert [item.text for item in scrubbed.found] == ["Anna Schmidt"]


def test_the_language_model_is_asked_in_english_only(scrubber):
    assert scrubber.find("we saw Zephyrine there", "en")[0].type == "PERSON"
    assert scrubber.find("wir sahen Zephyrine dort", "de") == []


def test_what_is_allowed_stays(pipeline):
    allowing = PresidioScrubber(pipeline, allow=["Zephyrine Bank", "020 7946 0958", "help@bank.example"])
    text = "Zephyrine or 02079460958 or help@bank.example, not me@bank.example"
    assert [item.text for item in allowing.find(text, "en")] == ["me@bank.example"]


def test_types_can_be_chosen(pipeline):
    text = "I work for Fennick Mills, see www.example.com"
    assert PresidioScrubber(pipeline).find(text, "en") == []
    more = PresidioScrubber(pipeline, types=["ORGANISATION", "URL"])
    assert [item.type for item in more.find(text, "en")] == ["ORGANISATION", "URL"]


@pytest.mark.parametrize("where", [WINDOW - 30, WINDOW - OVERLAP - 5, 2 * WINDOW])
def test_nothing_is_lost_where_a_long_text_is_cut(scrubber, where):
    iban = "DE89 3704 0044 0532 0130 00"
    words = ("word " * WINDOW)[: 3 * WINDOW]
    text = words[:where].rstrip() + " " + iban + " " + words[where:]
    assert [item.text for item in scrubber.find(text, "en")] == [iban]
    solid = "ä" * where + " " + iban + " " + "ä" * WINDOW
    assert [item.text for item in scrubber.find(solid, "en")] == [iban]


PIECES = st.sampled_from(
    [
        "Anna Schmidt",
        "my name is ",
        "I'm ",
        "Mr. ",
        "DE89 3704 0044 0532 0130 00",
        "4111 1111 1111 1111",
        "+44 20 7946 0958",
        "a@b.example",
        "12 Mill Lane",
        "Calle Mayor 5",
        "<PERSON_1>",
        "<IBAN_2>",
        "<",
        ">",
        "\n",
        " ",
        ", ",
        ". ",
        "Quillon Marsh",
        "card ",
        "call me on ",
        "78 651 450",
        "10115 Berlin",
        "Zephyrine",
        "12",
        "von ",
        "\x00",
        "\ud7ff",
        "ẞ",
        "①",
    ]
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=60)), min_size=1, max_size=3))
def test_scrubbing_twice_is_scrubbing_once(scrubber, texts):
    once = scrubber.dialogue(texts, "en")
    twice = scrubber.dialogue([text.text for text in once], "en")
    assert [text.text for text in twice] == [text.text for text in once]
    assert not any(text.found for text in twice)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(alphabet=string.printable + "äöüßñ ①\u0000\u200b", max_size=80), min_size=1, max_size=3))
def test_a_batch_says_what_each_dialogue_alone_says(scrubber, texts):
    batch = [([text], "en") for text in texts]
    assert scrubber.dialogues(batch) == [scrubber.dialogue([text], "en") for text in texts]


def test_everything_but_what_was_found_stays_untouched(scrubber):
    for text, scrubbed in zip(DIALOGUE, scrubber.dialogue(DIALOGUE, "en"), strict=True):
        left, done = [], 0
        for item in scrubbed.found:
            left += [text[done : item.start]]
            done = item.end
        for piece in [*left, text[done:]]:
            assert piece in scrubbed.text


def test_subject_keys():
    key = b"k" * 32
    assert subject_key(key, "Anna  SCHMIDT") == subject_key(key, "anna schmidt")
    assert subject_key(key, "DE89 3704 0044 0532 0130 00") == subject_key(key, "de89370400440532013000")
    assert subject_key(key, "+44 20 7946 0958") == subject_key(key, "0044-20-7946-0958")
    assert subject_key(key, "Anna Schmidt") != subject_key(b"x" * 32, "Anna Schmidt")
    assert subject_key(key, "a@b.example") != subject_key(key, "ab.example")


def test_absent_hides_what_is_not_loaded_and_only_that():
    import sys

    with absent("json", "a_package_nobody_has"):
        import json

        assert sys.modules["a_package_nobody_has"] is None
    assert json.loads("1") == 1
    assert "a_package_nobody_has" not in sys.modules


@pytest.mark.models
def test_the_scrubber_brings_no_tensors():
    import subprocess
    import sys

    code = (
        "import sys; from luthier.data.scrub import PresidioScrubber; from luthier.errors import Missing\n"
        "try: PresidioScrubber().find('Anna')\nexcept Missing: pass\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
