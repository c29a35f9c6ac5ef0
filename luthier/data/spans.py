"""Which hits stand where they overlap, what stays untouched, and the keyed name of a value. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from luthier.data.recognisers.hit import Hit

PLACEHOLDER = re.compile(r"<([A-Z]{2,20})_(\d{1,6})>")
RANK = (
    *("SECRET", "EMAIL", "IBAN", "CARD", "URL", "ADDRESS", "IP", "PHONE", "ID", "ACCOUNT"),
    *("PERSON", "ORGANISATION", "PLACE"),
)
"""Of two types at one place the earlier one stands."""


class Span(NamedTuple):
    """Characters [start, end) of a text are personal data of `type`."""

    start: int
    end: int
    type: str


def settle(text: str, hits: Iterable[Hit], taken: Sequence[Span] = ()) -> list[Span]:
    """Spans without overlaps, in order: joined within a type, cut where a type of higher rank or `taken` stands."""
    hits = list(hits)
    kept = [*taken, *(Span(*match.span(), "") for match in PLACEHOLDER.finditer(text))]
    known = len(kept)
    order = {kind: rank for rank, kind in enumerate(RANK)}
    for kind in sorted({hit.type for hit in hits}, key=lambda kind: (order.get(kind, len(RANK)), kind)):
        for start, end in joined([(hit.start, hit.end) for hit in hits if hit.type == kind]):
            for piece in gaps(start, end, kept):
                left, right = shrunk(text, *piece)
                if right - left > (piece != (start, end)):  # of a hit that was cut, a lone letter is not worth keeping
                    kept.append(Span(left, right, kind))
    return sorted(kept[known:])


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans with every overlapping run made one."""
    runs: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if runs and start < runs[-1][1]:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return runs


def gaps(start: int, end: int, kept: Iterable[Span]) -> list[tuple[int, int]]:
    """The pieces of [start, end) that no span of `kept` covers."""
    pieces: list[tuple[int, int]] = []
    for low, high, _ in sorted(span for span in kept if span.start < end and span.end > start):
        if start < low:
            pieces.append((start, low))
        start = max(start, high)
    return [*pieces, (start, end)] if start < end else pieces


def shrunk(text: str, start: int, end: int) -> tuple[int, int]:
    """[start, end) without blanks, commas and quotes at its ends."""
    while start < end and text[start] in " \t\r\n,;:\"'<>":
        start += 1
    while start < end and text[end - 1] in " \t\r\n,;:\"'<>":
        end -= 1
    return start, end


def normal(value: str) -> str:
    """One spelling for one value: lower case and single spaces; letters and figures alone where it is a number."""
    value = " ".join(value.casefold().split())
    if len(value) < 7 or "@" in value or figures_in(value) < 7:
        return value
    solid = "".join(letter for letter in value if letter.isalnum())
    return solid.removeprefix("00") if solid.isdecimal() else solid


def figures_in(text: str) -> int:
    """How many figures stand in a text, of whatever script."""
    return sum(map(text.count, "0123456789")) if text.isascii() else sum(map(str.isdigit, text))


def subject_key(key: bytes, value: str) -> str:
    """A keyed hash of a person's name, address or number (HMAC-SHA-256): findable with the key, meaningless without."""
    return hmac.new(key, normal(value).encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
