"""Semantic duplicates against brute force, with embeddings whose cosines are known."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data import semantic
from luthier.data.clusters import Text, replaced
from luthier.data.semantic import Rule, clusters
from luthier.errors import BadConfig, BadData


class Table:
    """An embedder that knows the vector of each text, and how many texts it was given at once."""

    def __init__(self, vectors) -> None:
        self.texts = ["".join(chr(97 + int(figure)) for figure in str(number)) for number in range(len(vectors))]
        self.vectors = dict(zip(self.texts, np.asarray(vectors, np.float32), strict=True))
        self.most = 0

    def __call__(self, texts):
        self.most = max(self.most, len(texts))
        return np.stack([self.vectors[text] for text in texts])

    def rows(self):
        return [Text(str(number), text) for number, text in enumerate(self.texts)]


def pairs(count: int, dimensions: int, noise: float, seed: int = 0) -> np.ndarray:
    """`count` vectors and then a noisy copy of each."""
    draw = np.random.default_rng(seed)
    first = draw.standard_normal((count, dimensions))
    return np.concatenate([first, 3 * (first + noise * draw.standard_normal(first.shape))])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 7), st.sampled_from([0.5, 0.8, 0.95]))
def test_agrees_with_brute_force(seed, chunk, threshold):
    """Also where rows come in small chunks: no row that stays is like another, and each leaves for the best ranked."""
    vectors = np.random.default_rng(seed).standard_normal((25, 3))
    table = Table(vectors)
    before, semantic.CHUNK = semantic.CHUNK, chunk
    try:
        found = clusters(table.rows(), table, Rule(threshold))
    finally:
        semantic.CHUNK = before
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    stays: list[int] = []
    expected = {}
    for row in range(len(vectors)):
        like = [other for other in stays if cosine[row, other] >= threshold]
        if like:
            expected[str(row)] = str(like[0])
        else:
            stays.append(row)
    assert replaced(found) == expected
    for cluster in found:
        for same in cluster.dropped:
            assert same.similarity == pytest.approx(cosine[int(cluster.kept), int(same.name)], abs=1e-5)


def test_blocks_find_what_all_with_all_would(monkeypatch):
    monkeypatch.setattr(semantic, "EXACT", 300)
    table = Table(pairs(1000, 24, 0.1))
    found = replaced(clusters(table.rows(), table, Rule(0.95)))
    assert table.most <= semantic.TEXTS
    assert sum(found.get(str(1000 + row)) == str(row) for row in range(1000)) >= 990
    assert all(int(kept) + 1000 == int(gone) for gone, kept in found.items())
    assert found == replaced(clusters(table.rows(), table, Rule(0.95)))  # a seed, not a mood


def test_memory_does_not_grow_with_the_square(monkeypatch):
    monkeypatch.setattr(semantic, "EXACT", 1000)
    monkeypatch.setattr(semantic, "CHUNK", 128)

    def peak(count: int) -> int:
        table = Table(pairs(count, 16, 0.05))
        rows = table.rows()
        tracemalloc.start()
        clusters(rows, table)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(8000) < 6 * peak(2000)


def test_figures_and_groups_keep_rows_apart():
    def same(texts):
        return np.ones((len(texts), 2), np.float32)

    rows = [
        Text("a", "It costs 8 EUR"),
        Text("b", "The fee is 9 EUR"),
        Text("c", "You pay 8 EUR"),
        Text("d", "8!", "", "x"),
    ]
    assert replaced(clusters(rows, same)) == {"c": "a"}
    assert replaced(clusters(rows, same, Rule(figures=False))) == {"b": "a", "c": "a"}
    assert clusters(rows, same, Rule(keep="longest"))[0].kept == "a"
    assert clusters([], same) == []


def test_vectors_of_zeros_are_like_nothing():
    assert clusters([Text("a", "x"), Text("b", "y")], lambda texts: np.zeros((len(texts), 4), np.float32)) == []


@pytest.mark.parametrize(
    "embed",
    [
        lambda texts: np.ones((len(texts) + 1, 4), np.float32),
        lambda texts: np.full((len(texts), 4), np.nan, np.float32),
        lambda texts: np.ones(len(texts), np.float32),
    ],
)
def test_embedders_that_give_something_else(embed):
    with pytest.raises(BadData, match="embedder"):
        clusters([Text("a", "x")], embed)


@pytest.mark.parametrize("threshold", [0, -1, 1.5])
def test_thresholds_that_cannot_be(threshold):
    with pytest.raises(BadConfig, match="cosine"):
        clusters([], lambda texts: np.ones((len(texts), 1), np.float32), Rule(threshold))
