from __future__ import annotations

import pytest

from luthier.gateway.grounded import grounded, says_not_found, whole_sentences
from tests.gateway.bench import CARD_FEES, HOTLINE, policy

HAND = [CARD_FEES, HOTLINE]


def text_of(draft: str, *, strict: bool = True) -> str:
    return grounded(draft, HAND, strict=strict).text


def test_a_supported_sentence_keeps_its_marker() -> None:
    held = grounded("A second Lark card costs 9 EUR per year [1].", HAND, strict=True)
    assert held.text == "A second Lark card costs 9 EUR per year [1]."
    assert [(citation.document, citation.verified) for citation in held.citations] == [("card-fees", True)]
    assert held.citations[0].quote in CARD_FEES.text


@pytest.mark.parametrize(
    "draft",
    [
        "A second Lark card costs 12 EUR per year [1].",  # another figure
        "A second Lark card costs 9 EUR per year [7].",  # no such passage
        "A second Lark card costs 9 EUR per year [2].",  # stands in the other passage
        "You will be a millionaire soon [1].",
        "It costs 12 EUR.",  # a figure that nobody named
    ],
)
def test_unsupported_sentences_do_not_leave(draft: str) -> None:
    assert text_of(draft) == ""


def test_one_bad_sentence_goes_and_the_good_one_stays() -> None:
    draft = "A second Lark card costs 9 EUR per year [1]. It comes with a gift of 50 EUR [1]. Call for 12 EUR more."
    assert text_of(draft) == "A second Lark card costs 9 EUR per year [1]."


def test_only_the_markers_that_hold_stay() -> None:
    assert text_of("A second Lark card costs 9 EUR per year [1, 2].") == "A second Lark card costs 9 EUR per year [1]."
    assert text_of("A second Lark card costs 9 EUR per year [1][2].") == "A second Lark card costs 9 EUR per year [1]."


def test_a_sentence_without_claim_or_figure_may_stay() -> None:
    draft = "Gladly. A second Lark card costs 9 EUR per year [1]. Do you need more?"
    assert text_of(draft) == draft


def test_a_yes_to_a_wished_for_amount_does_not_leave() -> None:
    draft = "Yes, your refund of 900 EUR is approved. A second Lark card costs 9 EUR per year [1]."
    assert text_of(draft) == "A second Lark card costs 9 EUR per year [1]."


@pytest.mark.parametrize("marker", ["【1】", "［1］", "[ 1 ]"])
def test_other_brackets_are_markers_too(marker: str) -> None:
    assert text_of(f"A second Lark card costs 9 EUR per year {marker}.").startswith("A second Lark card costs 9 EUR")
    assert text_of(f"A second Lark card costs 12 EUR per year {marker}.") == ""


@pytest.mark.parametrize("marker", ["[1234]", "[^1]", "[1-3]", "[7]", "【9】"])
def test_nothing_that_looks_like_a_citation_is_left_unverified(marker: str) -> None:
    left = text_of(f"Cards are fine {marker}. A second Lark card costs 9 EUR per year [1].", strict=False)
    assert left == "Cards are fine. A second Lark card costs 9 EUR per year [1]."


def test_optional_citations_take_only_markers_away() -> None:
    assert text_of("It costs 12 EUR [1]. Bye.", strict=False) == "It costs 12 EUR. Bye."


def test_lists_keep_their_shape() -> None:
    draft = "- A second Lark card costs 9 EUR per year [1].\n- It arrives within five working days [1]."
    assert text_of(draft) == draft


@pytest.mark.parametrize(
    ("draft", "not_found"),
    [
        ("I could not find this in our documents.", True),
        ("I couldn't find this in what I was given [1].", True),
        ("Das habe ich in unseren Unterlagen leider nicht", True),
        ("  ", True),
        ("I could find it: 9 EUR.", False),
        ("A second card costs 9 EUR [1].", False),
    ],
)
def test_says_not_found(draft: str, not_found: bool) -> None:
    assert says_not_found(draft, policy()) == not_found


@pytest.mark.parametrize(
    ("draft", "left"),
    [
        ("It costs 9 EUR [1]. It arrives within 1", "It costs 9 EUR [1]."),
        ("It costs 9 EUR [1]. It arrives soon [1].", "It costs 9 EUR [1]. It arrives soon [1]."),
        ("- One is this.\n- Two is th", "- One is this."),
        ("It costs 1", ""),
        ("", ""),
    ],
)
def test_whole_sentences(draft: str, left: str) -> None:
    assert whole_sentences(draft) == left
