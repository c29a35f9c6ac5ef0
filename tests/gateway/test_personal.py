from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.gateway.personal import black_out, personal, scattered, stands_in
from luthier.gateway.plain import visible
from luthier.records.data import Found
from tests.gateway.bench import CARD, IBAN, OTHER_IBAN, Patterns

FIND = Patterns().find
CUT_UP = [
    "The account is DE89 3704 [1] 0044 0532 [2] 0130 00.",
    "The account is DE89 3704 0044 [1, 2] 0532 0130 00 [1].",
    "It begins with DE89 3704 0044 and goes on with 0532 and then 0130 and last 00.",
    "DE89\n3704\n0044\n0532\n0130\n00",
    "D\u200bE89 3704\u200b 0044 05\u200b32 0130 00",
    "DE８９ 3704 0044 0532 0130 00",
    "GB29 then NWBK then 6016 then 1331 then 9268 then 19",
    "The card is 4111, then 1111, then 1111, then 1111.",
    "4111 [1] 1111 [1] 1111 [1] 1111",
    "the halves are 41111111 and 11111111",
    "4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1",
    " ".join(f"{digit}\ufe0f\u20e3" for digit in "4111111111111111"),  # keycaps
    "write to anna.m (at) example (dot) com",
    "write to anna.m at example dot com",
]


@pytest.mark.parametrize("text", CUT_UP)
def test_what_is_cut_up_is_found_whole(text: str) -> None:
    text = visible(text)
    out = black_out(text, personal(text, FIND))
    digits = "".join(letter for letter in out if letter.isdigit())
    assert len(digits) <= 4, out  # the numbers of markers and placeholders
    assert "example" not in out


@pytest.mark.parametrize(
    "text",
    [
        "A second card costs 9 EUR per year, a replacement 8.50 EUR, and both arrive within 5 days [1].",
        "Call 4040 from 8:00 to 20:00, or 4041 at weekends from 10:00 to 16:00 [1]. In 2026 it was 2,500 EUR.",
        "The rates are 1.40 %, 1.25 %, 2.10 % and 2.35 % for 6, 12, 24 and 36 months, from 2,000 to 50,000 EUR.",
        "Form AB12 has to be sent within 14 days to the branch at Market Square 3.",
    ],
)
def test_figures_are_left_alone(text: str) -> None:
    assert personal(text, FIND) == []


@given(st.lists(st.integers(0, 27), min_size=1, max_size=6), st.sampled_from([IBAN, OTHER_IBAN, CARD]))
def test_markers_anywhere_in_a_number_hide_nothing(places: list[int], value: str) -> None:
    text = f"It is {value} today."
    for place in sorted({6 + min(place, len(value)) for place in places}, reverse=True):
        text = f"{text[:place]}[1]{text[place:]}"
    out = black_out(text, personal(text, FIND))
    assert len("".join(letter for letter in out if letter.isdigit()).replace("1", "")) == 0, out


@pytest.mark.parametrize(
    ("value", "text", "there"),
    [
        (IBAN, "pay to DE89370400440532013000 please", True),
        ("DE89370400440532013000", f"pay to {IBAN}", True),
        (IBAN, f"pay to {OTHER_IBAN}", False),
        ("4040", "call 14040", False),
        ("4040", "call 4040.", True),
        ("+44 20 7946 0958", "call +44 (20) 7946-0958", True),
        ("Anna@X.org", "write to anna@x.org", True),
        ("anna@x.org", "write to joanna@x.org", False),
        ("", "anything", False),
    ],
)
def test_stands_in(value: str, text: str, there: bool) -> None:
    assert stands_in(value, [text]) == there


def test_black_out_numbers_values_and_swallows_overlaps() -> None:
    text = "A B A CD"
    found = [
        Found(0, 1, "IBAN", "A"),
        Found(2, 3, "IBAN", "B"),
        Found(4, 5, "IBAN", "A"),
        Found(6, 8, "CARD", "CD"),
        Found(7, 8, "PHONE", "D"),
    ]
    assert black_out(text, found) == "<IBAN_1> <IBAN_2> <IBAN_1> <CARD_1>"
    assert black_out(text, []) == text


def test_a_broken_check_digit_is_no_account() -> None:
    assert scattered("DE88 then 3704 then 0044 then 0532 then 0130 then 00") == []
    assert scattered("4111, 1111, 1111, 1112") == []
