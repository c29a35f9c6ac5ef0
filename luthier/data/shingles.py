"""Texts as arrays of hashed n-grams, many texts at once. Knows neither rows nor what the n-grams are compared for.

Everything is arithmetic on code points modulo 2^64, so the same text has the same hashes on every machine. Case,
blanks, punctuation and spellings of one character (NFKC) do not count; letters, marks, figures and symbols (`€`) do.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple
from unicodedata import category, normalize

import numpy as np
from numpy.typing import NDArray

from luthier.data.spans import PLACEHOLDER

Hashes = NDArray[np.uint64]
BASE = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that multiplying by it modulo 2^64 loses nothing."""
COUNTED = "LMNS"
"""Unicode categories that make words: letters, marks, numbers, symbols."""
FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
GROUPED = re.compile(r"[.,](?=\d{3}(?!\d))")
"""What stands between thousands: 1,000 and 1.000 are 1000."""


class Ragged(NamedTuple):
    """Several lists of hashes, one behind the other: list i is `values[starts[i] : starts[i + 1]]`."""

    values: Hashes
    starts: NDArray[np.int64]
    """One more than there are lists."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Hashes in each list."""
        return np.diff(self.starts)

    def sets(self) -> list[Hashes]:
        """Each list sorted and without repetitions."""
        return [distinct(self.values[a:b]) for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]


def distinct(values: Hashes) -> Hashes:
    """The values sorted, each once."""
    values = np.sort(values)
    fresh = np.ones(len(values), bool)
    fresh[1:] = values[1:] != values[:-1]
    return values[fresh]


def normal(text: str) -> str:
    """`text` in one spelling: NFKC, case folded."""
    return normalize("NFKC", text).casefold()


def characters(texts: Sequence[str], size: int) -> Ragged:
    """Shingles of `size` characters of texts that are `normal`, words parted by one blank; a short text is one."""
    spelt = letters(texts)
    filled = spelt.lengths > 0
    values = np.delete(spelt.values, spelt.starts[1:][filled] - 1)  # the blank behind the last word
    starts = spelt.starts.copy()
    starts[1:] -= np.cumsum(filled)
    return ngrams(Ragged(values, starts), size, short=True)


def words(texts: Sequence[str]) -> Ragged:
    """A hash for each word of texts that are `normal`."""
    spelt = letters(texts)
    blank = spelt.values == ord(" ") + 1
    first = np.ones(len(blank), bool)
    first[1:] = blank[:-1]
    first &= ~blank
    begins = np.flatnonzero(first)
    starts = np.searchsorted(begins, spelt.starts).astype(np.int64)
    if not len(begins):
        return Ragged(np.empty(0, np.uint64), starts)
    place = np.arange(len(blank)) - begins[np.maximum(np.cumsum(first) - 1, 0)]
    terms = np.where(blank, np.uint64(0), mixed(spelt.values) * powers(int(place.max()) + 1)[place])
    return Ragged(mixed(np.add.reduceat(terms, begins)), starts)


def letters(texts: Sequence[str]) -> Ragged:
    """Code points + 1 of what counts in texts that are `normal`; every word is followed by one blank."""
    joined = "".join([f"{text} " for text in texts]).encode("utf-32-le", "surrogatepass")
    points = np.frombuffer(joined, np.uint32)
    ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64)
    solid = counted(points)
    behind = np.zeros(len(points), bool)
    behind[1:] = solid[:-1]  # every text ends with a blank, so none reaches into the next
    kept = solid | behind
    starts = np.zeros(len(texts) + 1, np.int64)
    starts[1:] = np.cumsum(kept, dtype=np.int64)[ends - 1]
    return Ragged(np.where(solid, points, np.uint32(ord(" ")))[kept].astype(np.uint64) + np.uint64(1), starts)


def ngrams(symbols: Ragged, size: int, short: bool) -> Ragged:
    """Hashes of every `size` neighbours. Where `short`, a shorter list that is not empty is one n-gram."""
    values, lengths = symbols.values, symbols.lengths
    if short and (few := np.flatnonzero((lengths > 0) & (lengths < size))).size:
        return ngrams(padded(symbols, few, size), size, short=False)
    room = max(0, len(values) - size + 1)
    hashes = np.zeros(room, np.uint64)
    for place in range(size):
        hashes *= BASE
        hashes += values[place : place + room]
    begins = np.zeros(len(values) + 1, np.int64)
    inside = np.maximum(lengths - size + 1, 0)
    np.add.at(begins, symbols.starts[:-1][inside > 0], 1)
    np.add.at(begins, (symbols.starts[:-1] + inside)[inside > 0], -1)
    within = np.cumsum(begins)[:room] > 0
    return Ragged(mixed(hashes[within]), np.concatenate([[0], np.cumsum(inside)]).astype(np.int64))


def padded(symbols: Ragged, few: NDArray[np.int64], size: int) -> Ragged:
    """The lists at `few` filled up to `size` with 0, which is no symbol."""
    lengths = symbols.lengths
    lengths[few] = size
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.zeros(int(starts[-1]), np.uint64)
    shift = np.repeat(starts[:-1] - symbols.starts[:-1], symbols.lengths)
    values[np.arange(len(symbols.values)) + shift] = symbols.values
    return Ragged(values, starts)


def mixed(values: Hashes) -> Hashes:
    """Each value spread over all 64 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def powers(count: int) -> Hashes:
    """BASE to the powers 0 … count - 1."""
    made = np.full(count, BASE, np.uint64)
    made[0] = 1
    return np.multiply.accumulate(made)


def counted(points: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Whether each code point is part of a word."""
    known = categories()
    kinds = known[points]
    if not kinds.all():
        for point in np.unique(points[kinds == 0]).tolist():
            known[point] = 1 + (category(chr(point))[0] in COUNTED)
        kinds = known[points]
    made: NDArray[np.bool_] = kinds == 2
    return made


@cache
def categories() -> NDArray[np.uint8]:
    """For each code point that was met: 2 where it is part of a word, 1 where not. All of Unicode would take 0.2 s."""
    return np.zeros(sys.maxunicode + 1, np.uint8)


def figures(text: str) -> tuple[str, ...]:
    """The numbers of a text, sorted; those of placeholders such as <PERSON_1> are none."""
    if "<" in text:
        text = PLACEHOLDER.sub(" ", text)
    found = FIGURE.findall(text)
    return tuple(sorted(GROUPED.sub("", each).replace(",", ".") for each in found)) if found else ()


def short_hash(parts: Sequence[str]) -> int:
    """64 bits of BLAKE2b over texts; 0 for none."""
    joined = "\0".join(parts)
    return (
        int.from_bytes(hashlib.blake2b(joined.encode(errors="surrogatepass"), digest_size=8).digest()) if joined else 0
    )


def jaccard(one: Hashes, others: Sequence[Hashes]) -> NDArray[np.float64]:
    """The shared share of a sorted set without repetitions with each of some others (at least one); of nothing 0."""
    sizes = np.array([len(other) for other in others])
    together = np.concatenate(others)
    if not len(one) or not len(together):
        return np.zeros(len(others))
    at = np.searchsorted(one, together)
    at[at == len(one)] = 0
    counts = np.concatenate([[0], np.cumsum(one[at] == together)])
    ends = np.cumsum(sizes)
    shared = counts[ends] - counts[ends - sizes]
    made: NDArray[np.float64] = shared / (len(one) + sizes - shared)
    return made
