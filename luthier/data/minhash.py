"""What MinHash keeps of a text: bands that similar texts share, and an estimate of how similar two texts are.

MinHash: Broder 1997; banding: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4; a few bits of each
smallest hash: Li and König 2010, arXiv:0910.3349. Knows texts, not what becomes of those that are similar.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log, sqrt
from typing import Any, Literal, NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from luthier.data.clusters import Keep, Text
from luthier.data.shingles import Hashes, Ragged, characters, figures, mixed, ngrams, normal, short_hash, words
from luthier.errors import BadConfig

MISSED = 0.003
"""Share of the pairs exactly at the threshold that banding may miss; of more similar ones it misses fewer."""
SPREAD = 3
"""Standard deviations below the threshold at which an estimate is no longer worth an exact comparison."""

Unit = Literal["characters", "words"]


class Rule(NamedTuple):
    """What counts as nearly the same, and which row then stays."""

    threshold: float = 0.8
    """Jaccard similarity of the shingles, 0.3 to 1."""
    keep: Keep = "first"
    figures: bool = True
    """Rows whose numbers differ are kept apart."""
    unit: Unit = "characters"
    size: int = 5
    """Units in a shingle. A shorter text is one shingle."""
    seed: int = 0


class Sketch(NamedTuple):
    """What is kept in memory of n texts."""

    bands: NDArray[np.uint32]
    """(bands, n): equal for texts whose smallest hashes in a band are equal."""
    smallest: NDArray[np.uint8]
    """(n, hash functions): eight bits of each smallest hash (b-bit MinHash, Li and König 2010, arXiv:0910.3349)."""
    whole: Hashes
    """(n,): equal for texts with equal shingles; 0 for one that has none."""
    guard: Hashes
    """(n,): texts are compared only where this is equal."""


class Sketcher:
    """Sketches by the hash functions of one rule. Raises BadConfig."""

    def __init__(self, rule: Rule) -> None:
        if not 0.3 <= rule.threshold <= 1 or rule.size < 1:
            raise BadConfig(
                f"no near-duplicate has a similarity of {rule.threshold} in shingles of {rule.size}",
                "give a threshold from 0.3 to 1 and shingles of at least 1",
            )
        self.rule = rule
        self.rows, self.bands = shape(rule.threshold)
        draws = np.random.Generator(np.random.PCG64(rule.seed)).integers(1 << 32, size=self.rows * self.bands)
        self.factors = draws.astype(np.uint32) | np.uint32(1)
        estimate = rule.threshold - SPREAD * sqrt(rule.threshold * (1 - rule.threshold) / len(self.factors))
        self.promising = ceil(len(self.factors) * min(estimate, 0.98))
        """Equal smallest hashes from which on a pair is compared exactly."""

    def shingles(self, texts: Sequence[str]) -> Ragged:
        """The hashed shingles of texts that are `normal`."""
        if self.rule.unit == "characters":
            return characters(texts, self.rule.size)
        return ngrams(words(texts), self.rule.size, short=True)

    def sketch(self, texts: Sequence[Text]) -> Sketch:
        """Sketches of a batch of texts."""
        guard = [(*(figures(normalize("NFKC", text.text)) if self.rule.figures else ()), text.apart) for text in texts]
        keys = np.array([short_hash(parts) for parts in guard], np.uint64)
        return self.of_shingles(self.shingles([normal(text.text) for text in texts]), keys)

    def of_shingles(self, shingles: Ragged, guard: Hashes) -> Sketch:
        """Sketches of texts by their shingles."""
        filled = np.flatnonzero(shingles.lengths)
        starts = shingles.starts[filled]
        smallest = np.zeros((len(self.factors), len(guard)), np.uint32)
        whole = np.zeros(len(guard), np.uint64)
        if len(filled):
            short = (shingles.values >> np.uint64(32)).astype(np.uint32)
            product = np.empty_like(short)
            for number, factor in enumerate(self.factors):
                np.multiply(short, factor, out=product)
                smallest[number, filled] = np.minimum.reduceat(product, starts)
            whole[filled] = np.add.reduceat(shingles.values, starts)
        keys = np.tile(guard, (self.bands, 1))
        for row in range(self.rows):
            keys = mixed(keys + smallest[row :: self.rows])
        return Sketch(
            (keys >> np.uint64(32)).astype(np.uint32), (smallest >> 4).astype(np.uint8).T.copy(), whole, guard
        )


def shape(threshold: float) -> tuple[int, int]:
    """Rows in a band, and bands, so that MISSED of the pairs at `threshold` share no band."""
    rows = 8 if threshold > 0.85 else max(2, round(log(0.26) / log(threshold)))
    alike = min(threshold**rows, 0.99)
    return rows, ceil(log(MISSED) / log(1 - alike))


def joined(sketches: list[Sketch]) -> Sketch:
    """The sketches of all batches as one. Takes them out of the list: memory holds one of their four parts twice."""
    if not sketches:
        return Sketch(np.empty((1, 0), np.uint32), np.empty((0, 1), np.uint8), *[np.empty(0, np.uint64)] * 2)
    parts: list[list[Any]] = [list(part) for part in zip(*sketches, strict=True)]
    sketches.clear()
    whole = []
    for part in parts:
        whole.append(np.concatenate(part, axis=1 if part is parts[0] else 0))
        part.clear()
    return Sketch(*whole)
