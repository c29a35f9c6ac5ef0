"""Which people stand in which rows, by keyed hashes: 40 bytes for each of them in each row. Knows no names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY, ROW = 32, 8
"""Bytes of a person's keyed hash and of a row's id."""
WIDTH = KEY + ROW


class Subjects:
    """Pairs of a person and a row, as a build meets them."""

    def __init__(self) -> None:
        self.pairs = bytearray()

    def add(self, people: Iterable[str], row: str) -> None:
        """People (64 hexadecimal digits) who stand in the row (16 of them)."""
        name = bytes.fromhex(row)
        for person in people:
            self.pairs += bytes.fromhex(person) + name

    def lines(
        self, waiting: NDArray[np.uint64], instead: Mapping[str, str], out: Iterable[str]
    ) -> Iterator[dict[str, Any]] | None:
        """{"key", "rows"} by key, both sorted: each person and which rows are theirs; None where nobody has one.

        Theirs are those of the `waiting` rows (numbers of ids) that are not `out`; of those that are, the one that
        stays `instead`.
        """
        pairs = np.frombuffer(self.pairs, np.uint8).reshape(-1, WIDTH)
        rows = numbered(pairs)
        here = np.isin(rows, waiting) & np.isin(rows, numbers(out), invert=True)
        if instead:
            gone, stays = numbers(instead), numbers(instead.values())
            by = np.argsort(gone)
            place = np.searchsorted(gone[by], rows).clip(max=len(by) - 1)
            moved = gone[by][place] == rows
            rows, here = np.where(moved, stays[by][place], rows), here | moved
        if not here.any():
            return None
        whole = np.empty((np.count_nonzero(here), WIDTH), np.uint8)
        whole[:, :KEY] = pairs[here, :KEY]
        whole[:, KEY:] = rows[here].astype(">u8").view(np.uint8).reshape(-1, ROW)
        return grouped(np.unique(whole.view(f"S{WIDTH}")))  # sorted by bytes, as hexadecimal digits are


def grouped(pairs: NDArray[np.bytes_]) -> Iterator[dict[str, Any]]:
    """Sorted pairs, person by person."""
    few = (pairs[start : start + 4096].tolist() for start in range(0, len(pairs), 4096))
    spelt = (pair.ljust(WIDTH, b"\0").hex() for some in few for pair in some)
    for key, group in groupby(spelt, key=lambda pair: pair[: 2 * KEY]):
        yield {"key": key, "rows": [pair[2 * KEY :] for pair in group]}


def numbers(rows: Iterable[str]) -> NDArray[np.uint64]:
    """Ids of rows as numbers."""
    return np.array([int(row, 16) for row in rows], np.uint64)


def numbered(pairs: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The rows of the pairs as numbers."""
    return np.ascontiguousarray(pairs[:, KEY:]).view(">u8").ravel().astype(np.uint64)
