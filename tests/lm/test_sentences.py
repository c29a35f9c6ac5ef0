import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.lm.sentences import sentences

WHOLE = (
    "A card costs 8.50 EUR.",
    "The fee is listed under No. 5 of the price list.",
    "Use a strong word, e.g. a long one.",
    "Das gilt ab dem 14. September 2026.",
    "Der Betrag wird am 3. Werktag gebucht.",
    "Das gilt z. B. für Karten, d. h. für alle.",
    "Mr. Smith and Dr. Weber sign.",
    "Siehe Nr. 7 und Art. 5 der Bedingungen.",
    "Llame al núm. 4040, p. ej. de noche.",
    "Costs approx. 8 EUR vs. 12 EUR.",
    "The 28. of the month is the day.",
)


@pytest.mark.parametrize("text", WHOLE)
def test_one_sentence_is_left_whole(text):
    assert [s.text for s in sentences(text)] == [text]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("It costs 8.50 EUR. It takes 5 days.", ["It costs 8.50 EUR.", "It takes 5 days."]),
        ("Is it free? No. You pay 8 EUR!", ["Is it free?", "No.", "You pay 8 EUR!"]),
        ("It costs 8 EUR. [1] It takes 5 days [2].", ["It costs 8 EUR. [1]", "It takes 5 days [2]."]),
        ("It costs 8 EUR.[1][2] Next.", ["It costs 8 EUR.[1][2]", "Next."]),
        ('He said "yes." Then he left.', ['He said "yes."', "Then he left."]),
        ("¿Cuánto cuesta? ¡Nada! Gratis.", ["¿Cuánto cuesta?", "¡Nada!", "Gratis."]),
        ("The limit is 14. The fee is 8.", ["The limit is 14.", "The fee is 8."]),
        ("Steps:\n1. Call the line.\n2. Block it.", ["Steps:", "Call the line.", "Block it."]),
        ("## Fees of the card\nIt is free.\n\n- one\n- two", ["Fees of the card", "It is free.", "one", "two"]),
        ("A wrapped\nline ends here. Yes.", ["A wrapped\nline ends here.", "Yes."]),
        ("14. September ist der Tag.", ["14. September ist der Tag."]),
        ("", []),
        (" \n\n ", []),
    ],
)
def test_sentences_end_where_they_end(text, parts):
    assert [s.text for s in sentences(text)] == parts


@given(st.text(alphabet="aB1. \n-#|?![]()€\u00a0é…", max_size=80) | st.text(max_size=60))
def test_offsets_are_exact_and_in_order(text):
    left = 0
    for sentence in sentences(text):
        assert left <= sentence.start < sentence.end <= len(text)
        assert text[sentence.start : sentence.end] == sentence.text == sentence.text.strip()
        left = sentence.end
