"""Personal data in an answer: where it stands, what excuses it, and how it is blacked out. Pure.

Recognisers read text as it is written, so a value can slip through when it is cut up. What a person would read as one
value is looked for here: behind citation markers, and account and card numbers whose groups stand apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from luthier.lm.sentences import MARKER
from luthier.records.data import Found

Find = Callable[[str], list[Found]]

_GROUP = re.compile(r"(?<![^\W_])(?=[A-Z0-9]*\d|[A-Z]{4}\b)[A-Z0-9]{1,34}(?![^\W_])")
_IBAN_HEAD = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]*")
_DIGITS = re.compile(r"\d+")
_CARD_GROUPS = {(4, 4, 4, 4), (8, 8), (4, 6, 5), (4, 12), (12, 4), (4, 4, 8), (8, 4, 4), (6, 10), (4, 8, 4)}
_WORDY_MAIL = re.compile(
    r"[\w.+-]+\s*(?:\(|\[|\s)\s*(?:at|arroba|@)\s*(?:\)|\]|\s)\s*[\w-]+"
    r"(?:\s*(?:\(|\[|\s)\s*(?:dot|punkt|punto|\.)\s*(?:\)|\]|\s)\s*[a-z]+)+",
    re.IGNORECASE,
)
MOST_BETWEEN = 60
"""Characters between two groups of one number."""


def personal(text: str, find: Find) -> list[Found]:
    """What `find` finds in `text` read without its citation markers, and what is cut up, in order.

    What lies inside of something longer is left out: an account number has digits like a card's in its middle.
    """
    plain, places = _without_markers(text)
    whole: list[Found] = []
    for hit in sorted([*find(plain), *scattered(plain)], key=lambda hit: hit.start - hit.end):
        if hit.end > hit.start and not any(kept.start <= hit.start and hit.end <= kept.end for kept in whole):
            whole.append(hit)
    return sorted(Found(places[hit.start], places[hit.end - 1] + 1, hit.type, hit.text) for hit in whole)


def scattered(text: str) -> list[Found]:
    """Account numbers, card numbers and addresses of e-mail whose parts stand apart."""
    return [*_ibans(text), *_cards(text), *(Found(*hit.span(), "EMAIL", hit[0]) for hit in _WORDY_MAIL.finditer(text))]


def stands_in(value: str, texts: Sequence[str]) -> bool:
    """Does `value` stand in one of `texts`, whatever blanks, dots and dashes are between its letters?

    As a whole: 4040 does not stand in 14040.
    """
    letters = re.findall(r"[^\W_]", value.casefold())
    if not letters:
        return False
    spelt = r"[\W_]{0,3}".join(map(re.escape, letters))
    return any(re.search(rf"(?<![^\W_]){spelt}(?![^\W_])", text.casefold()) for text in texts)


def black_out(text: str, found: Sequence[Found]) -> str:
    """`text` with each value replaced by its type, e.g. <IBAN_1>: one number for one value."""
    numbers: dict[tuple[str, str], int] = {}
    parts: list[str] = []
    left = 0
    for hit in _merged(found):
        key = (hit.type, re.sub(r"[\W_]", "", hit.text.casefold()))
        same_type = [known for known in numbers if known[0] == hit.type]
        number = numbers.setdefault(key, len(same_type) + 1)
        parts += [text[left : hit.start], f"<{hit.type}_{number}>"]
        left = hit.end
    return "".join([*parts, text[left:]])


def _merged(found: Sequence[Found]) -> list[Found]:
    """In order, with what overlaps made one: nothing of either is left standing."""
    merged: list[Found] = []
    for hit in sorted(found):
        if merged and hit.start < merged[-1].end:
            last = merged.pop()
            hit = last._replace(end=max(last.end, hit.end))  # noqa: PLW2901
        merged.append(hit)
    return merged


def _without_markers(text: str) -> tuple[str, list[int]]:
    """`text` without [n], and for each character that is left its place in `text`."""
    cut = {place for marker in MARKER.finditer(text) for place in range(*marker.span())}
    places = [place for place in range(len(text)) if place not in cut]
    return "".join(text[place] for place in places), places


def _ibans(text: str) -> Iterator[Found]:
    groups = list(_GROUP.finditer(text))
    for first, head in enumerate(groups):
        if not _IBAN_HEAD.fullmatch(head[0]):
            continue
        last = first
        joined = head[0]
        while len(joined) < 15 or not _mod97(joined):
            last += 1
            if last == len(groups) or len(joined) > 34 or _gap(groups[last - 1], groups[last]) > MOST_BETWEEN:
                break
            joined += groups[last][0]
        else:
            yield Found(head.start(), groups[last].end(), "IBAN", joined)


def _cards(text: str) -> Iterator[Found]:
    runs = list(_DIGITS.finditer(text))
    for length in (2, 3, 4):
        for at in range(len(runs) - length + 1):
            window = runs[at : at + length]
            shape = tuple(len(run[0]) for run in window)
            close = all(_gap(left, right) <= MOST_BETWEEN for left, right in pairwise(window))
            joined = "".join(run[0] for run in window)
            if shape in _CARD_GROUPS and close and joined[0] in "3456" and _luhn(joined):
                yield Found(window[0].start(), window[-1].end(), "CARD", joined)
    for run in re.finditer(r"\d(?:[ .\-/_*]{1,3}\d){12,18}(?!\d)", text):  # one digit at a time
        joined = re.sub(r"\D", "", run[0])
        if joined[0] in "3456" and _luhn(joined):
            yield Found(*run.span(), "CARD", joined)


def _gap(left: re.Match[str], right: re.Match[str]) -> int:
    return right.start() - left.end()


def _mod97(iban: str) -> bool:
    """ISO 13616: the check digits of an account number."""
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1: the check digit of a card number."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
