"""Rows that say the same in other words, by the cosine of their embeddings. Knows no model: who calls brings one.

Up to EXACT rows every pair counts. More rows fall into blocks of neighbours, as in SemDeDup (Abbas et al. 2023,
arXiv:2303.09540): k-means on a sample, each row in the blocks of its two nearest centres, so that few pairs are cut
apart. A row leaves only for one that stays and is similar to itself. Rows whose numbers differ are kept apart: to an
embedding a fee of 8 EUR and one of 9 EUR are the same sentence.

Memory: the embeddings, 4 bytes for each dimension of each row, and a block of similarities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from luthier.data.clusters import Cluster, Keep, Text, gathered, ranked
from luthier.data.shingles import figures, short_hash
from luthier.errors import BadConfig, BadData

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]
Guard = NDArray[np.uint64]
Embed = Callable[[Sequence[str]], Vectors]
"""Texts → (n, dimensions). Lengths of vectors do not matter."""

EXACT = 20_000
"""Most rows of which all are compared with all; also the rows aimed at in a block."""
CHUNK = 1024
"""Rows that are compared at once with those that stay."""
WIDE = 8192
"""Rows that stay with which they are compared at once."""
TEXTS = 256
"""Texts that are embedded together."""
SAMPLE = 256
"""Rows for each centre from which the centres are made."""
ROUNDS = 10


class Rule(NamedTuple):
    """What counts as the same, and which row then stays."""

    threshold: float = 0.95
    """Cosine, above 0 and at most 1. Depends on the model: look at the clusters before rows leave by it."""
    keep: Keep = "first"
    figures: bool = True
    """Rows whose numbers differ are kept apart."""
    seed: int = 0


USUAL = Rule()


def clusters(texts: Sequence[Text], embed: Embed, rule: Rule = USUAL) -> list[Cluster]:
    """The clusters of rows whose embeddings are similar by `rule.threshold`, in the order of the rows that stay.

    Raises BadConfig for a threshold that cannot be, BadData where `embed` gives something else than finite vectors.
    """
    if not 0 < rule.threshold <= 1:
        raise BadConfig(f"a cosine cannot be {rule.threshold}", "give a threshold above 0 and at most 1, such as 0.95")
    order = ranked(rule.keep, [len(text.text) for text in texts], [text.collected for text in texts])
    if not len(order):
        return []
    vectors = embedded([texts[place].text for place in order], embed)
    guard = np.array([kept_apart(texts[place], rule) for place in order], np.uint64)
    stays, how = np.arange(len(order)), np.ones(len(order))
    near = Standing(vectors, guard, blocks(vectors, rule.seed), rule.threshold)
    for start in range(0, len(order), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(order)))
        better, cosine = near.earlier(rows)
        stays[rows], how[rows] = np.where(better < len(order), better, rows), cosine
        left = rows[better == len(order)]
        stays[left], how[left] = near.among(left)
        near.add(left[stays[left] == left])
    return gathered(lambda place: texts[place].name, order, stays, how)


def kept_apart(text: Text, rule: Rule) -> int:
    """Texts are compared only where this is equal."""
    numbers = figures(normalize("NFKC", text.text)) if rule.figures else ()
    return short_hash((*numbers, text.apart))


def embedded(texts: Sequence[str], embed: Embed) -> Vectors:
    """(n, dimensions), each of length 1; a vector of zeros stays one. Raises BadData."""
    made: Vectors | None = None
    for start in range(0, len(texts), TEXTS):
        some = np.asarray(embed(texts[start : start + TEXTS]), np.float32)
        wanted = (min(TEXTS, len(texts) - start), some.shape[-1] if made is None else made.shape[1])
        if some.shape != wanted or not np.isfinite(some).all():
            raise BadData(f"the embedder gave no {wanted[0]} finite vectors of one length", "look at the embedder")
        if made is None:
            made = np.empty((len(texts), wanted[1]), np.float32)
        lengths = np.linalg.norm(some, axis=1, keepdims=True)
        made[start : start + TEXTS] = some / np.where(lengths > 0, lengths, 1)
    assert made is not None
    return made


def blocks(vectors: Vectors, seed: int) -> NDArray[np.int32]:
    """(n, 1 or 2): the blocks of each row."""
    if len(vectors) <= EXACT:
        return np.zeros((len(vectors), 1), np.int32)
    centres = means(vectors, ceil(2 * len(vectors) / EXACT), seed)
    nearest = np.empty((len(vectors), 2), np.int32)
    for start in range(0, len(vectors), CHUNK):
        away = -(vectors[start : start + CHUNK] @ centres.T)
        nearest[start : start + CHUNK] = np.argpartition(away, 1, axis=1)[:, :2]
    return nearest


def means(vectors: Vectors, count: int, seed: int) -> Vectors:
    """`count` centres of a sample by spherical k-means (Dhillon and Modha 2001), each of length 1."""
    draw = np.random.Generator(np.random.PCG64(seed))
    sample = vectors[draw.choice(len(vectors), min(len(vectors), count * SAMPLE), replace=False)]
    centres = sample[draw.choice(len(sample), count, replace=False)]
    for _ in range(ROUNDS):
        nearest = np.argmax(sample @ centres.T, axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, sample)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), centres)
    return centres


class Standing:
    """The rows that stay so far, by block. Rows come in the order of their ranks, so no decision is taken back."""

    def __init__(self, vectors: Vectors, guard: Guard, blocks: NDArray[np.int32], threshold: float) -> None:
        self.vectors = vectors
        self.guard = guard
        self.blocks = blocks
        self.threshold = threshold
        self.kept: list[list[Places]] = [[] for _ in range(int(blocks.max()) + 1)]

    def alike(self, rows: Places, others: Places) -> tuple[NDArray[np.bool_], Vectors]:
        """(rows, others): whether they say the same, and their cosine."""
        cosine = self.vectors[rows] @ self.vectors[others].T
        return (cosine >= self.threshold) & (self.guard[rows][:, None] == self.guard[others][None, :]), cosine

    def earlier(self, rows: Places) -> tuple[Places, NDArray[np.float64]]:
        """For each row the best ranked one that stays and says the same (n where there is none), and their cosine."""
        best, how = np.full(len(rows), len(self.vectors)), np.ones(len(rows))
        for block, kept in enumerate(self.kept):
            here = np.flatnonzero((self.blocks[rows] == block).any(axis=1))
            for others in kept if len(here) else ():
                same, cosine = self.alike(rows[here], others)
                first = np.argmax(same, axis=1)
                better = same.any(axis=1) & (others[first] < best[here])
                best[here[better]] = others[first[better]]
                how[here[better]] = cosine[better, first[better]]
        return best, np.minimum(how, 1.0)

    def among(self, rows: Places) -> tuple[Places, NDArray[np.float64]]:
        """The same among a few rows, all with all: for each the row that stays for it (itself: it stays)."""
        stays, how = rows.copy(), np.ones(len(rows))
        same, cosine = self.alike(rows, rows)
        same = np.tril(same, -1)
        for place in np.flatnonzero(same.any(axis=0)):
            if stays[place] == rows[place]:
                leave = np.flatnonzero(same[:, place] & (stays == rows))
                stays[leave], how[leave] = rows[place], cosine[leave, place]
        return stays, np.minimum(how, 1.0)

    def add(self, rows: Places) -> None:
        """Rows that stay."""
        for block in np.unique(self.blocks[rows]).tolist():
            kept, some = self.kept[block], rows[(self.blocks[rows] == block).any(axis=1)]
            if kept and len(kept[-1]) + len(some) <= WIDE:
                kept[-1] = np.concatenate([kept[-1], some])
            else:
                kept.append(some)
