"""Mixtures: how many rows of each source to take so that their shares are those asked for, and which ones. Pure.

Which rows is drawn by a keyed hash of their ids (bottom-k sampling, Cohen and Kaplan 2007): the same rows on every
machine, and a row that is added elsewhere pushes out at most one other. A source that is too small may be repeated,
in whole epochs and a drawn rest: a row then has a weight, how often it is seen.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from fractions import Fraction
from math import floor
from typing import NamedTuple

from luthier.errors import BadConfig


class Share(NamedTuple):
    """What one source gives to a mixture."""

    rows: int
    """Rows that the source has."""
    take: int
    """Rows to take, a repeated one counted each time."""
    wanted: float
    """The share that was asked for."""
    got: float
    """The share that it has: as near as whole rows allow."""

    @property
    def epochs(self) -> int:
        """How often every row is seen."""
        return self.take // self.rows if self.rows else 0

    @property
    def rest(self) -> int:
        """How many rows, drawn, are seen once more."""
        return self.take % self.rows if self.rows else 0


class Mixture(NamedTuple):
    """Which rows of which source are seen how often."""

    shares: dict[str, Share]
    cuts: dict[str, int]
    """Of each source the place from which on rows are not drawn for its rest."""
    seed: int

    def weight(self, source: str, row_id: str) -> int:
        """How often a row is seen; 0 leaves it out. A source that the mixture does not name is left out."""
        share = self.shares.get(source)
        if share is None:
            return 0
        return share.epochs + (place(self.seed, source, row_id) < self.cuts.get(source, 0))


def plan(
    counts: Mapping[str, int], weights: Mapping[str, float], *, most: int | None = None, epochs: int = 1
) -> dict[str, Share]:
    """How much each source gives so that the shares are as `weights` (any size above 0) and the whole is largest.

    `counts` are rows by source; `most` limits the whole, `epochs` how often a row may be seen. Raises BadConfig for a
    weight below 0, a source that is not there or has no row, and epochs below 1.
    """
    wanted = fractions(counts, weights)
    if epochs < 1 or (most is not None and most < 1):
        raise BadConfig("a mixture needs at least one row and one epoch", "raise `most` or `epochs`")
    largest = min(counts[source] * epochs / share for source, share in wanted.items())
    whole = floor(largest) if most is None else min(floor(largest), most)
    exact = {source: whole * share for source, share in wanted.items()}
    take = {source: floor(rows) for source, rows in exact.items()}
    left = whole - sum(take.values())
    for source in sorted(exact, key=lambda source: (take[source] - exact[source], source))[:left]:
        take[source] += 1  # the largest remainders; none is beyond what the source has, for `exact` is not
    shares = {
        source: Share(counts[source], take[source], float(share), take[source] / whole if whole else 0.0)
        for source, share in wanted.items()
    }
    return shares | {source: Share(counts[source], 0, 0.0, 0.0) for source in counts if source not in wanted}


def fractions(counts: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, Fraction]:
    """The weights above 0 as shares of 1, exactly: what is written 0.3 is three tenths."""
    for source, weight in weights.items():
        if source not in counts:
            near = get_close_matches(source, counts, n=1)
            mend = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(counts)}"
            raise BadConfig(f"the mixture names a source {source!r} that is not there", mend)
        if not 0 <= weight < float("inf"):
            raise BadConfig(f"the weight of {source!r} is {weight}", "give a number from 0 on")
        if weight and not counts[source]:
            raise BadConfig(f"{source!r} has a weight and no row", "leave it out of the mixture, or mend the source")
    exact = {source: Fraction(str(weight)) for source, weight in weights.items() if weight}
    if not exact:
        raise BadConfig("no source of the mixture has a weight", "give at least one of them a weight above 0")
    return {source: weight / sum(exact.values()) for source, weight in exact.items()}


def draw(shares: Mapping[str, Share], rows: Iterable[tuple[str, str]], seed: int = 0) -> Mixture:
    """The mixture with these `shares` of `rows` (source and id of each). Keeps as many numbers as rows are drawn."""
    lowest: dict[str, list[int]] = {source: [] for source in shares}
    for source, row_id in rows:
        rest = shares[source].rest if source in shares else 0
        if rest:
            heap, at = lowest[source], place(seed, source, row_id)
            if len(heap) < rest:
                heapq.heappush(heap, -at)
            elif at < -heap[0]:
                heapq.heapreplace(heap, -at)
    return Mixture(dict(shares), {source: 1 - heap[0] for source, heap in lowest.items() if heap}, seed)


def place(seed: int, source: str, row_id: str) -> int:
    """Where a row stands in the draw: 64 bits of a hash that knows nothing but the seed, its source and its id."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{source}/{row_id}".encode(), digest_size=8).digest(), "big")
