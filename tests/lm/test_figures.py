import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.lm.figures import figures, missing_figures

SAME = (
    ("1.40 %", "1,4 Prozent", "1.4 per cent", "1,40 por ciento", "1.4%"),
    ("2,500 EUR", "2.500 Euro", "€2500", "2 500 €", "2500 euros"),
    ("17:30", "17.30 Uhr", "5:30 pm", "5.30 p.m."),
    ("8.50 EUR", "8,50 €", "EUR 8.5"),
    ("7 days", "seven days"),
    ("5 Tage", "fünf Tagen"),
    ("28th", "28.", "28"),
    ("13:00", "1 pm", "13 Uhr"),
)


@pytest.mark.parametrize("spellings", SAME)
def test_spellings_of_one_figure_are_one(spellings):
    first = figures(spellings[0])
    for other in spellings[1:]:
        assert [f.value for f in figures(other)] == [f.value for f in first]
        assert missing_figures(figures(other), first) == ()


@pytest.mark.parametrize(
    ("claim", "there"),
    [
        ("9 EUR", "8 EUR"),
        ("5 EUR", "8 EUR and 5 working days"),
        ("17:00", "17:30"),
        ("5 am", "17:00"),
        ("2.5 EUR", "2,500 EUR"),
        ("nine days", "7 days"),
        ("1.4 %", "0.6 % up to 1.4 million"),
    ],
)
def test_another_figure_is_missing(claim, there):
    assert missing_figures(figures(claim), figures(there))


def test_a_unit_in_other_words_is_no_contradiction():
    assert missing_figures(figures("5 days"), figures("within 5 working days")) == ()
    assert missing_figures(figures("12 and 24 months"), figures("a term of 6, 12 or 24 months")) == ()


def test_words_that_only_look_like_figures():
    assert figures("the two-factor app, one card, once") == ()


@given(st.text(max_size=60))
def test_any_text_carries_its_own_figures(text):
    found = figures(text)
    assert {f.value for f in missing_figures(found, found)} == set()
