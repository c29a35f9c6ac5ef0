from __future__ import annotations

import pytest

from luthier.knowledge.fusion import fused, of_best, preferring
from luthier.knowledge.question import LONGEST, PIECE, pieces, searched, spellings


@pytest.mark.parametrize(
    ("bm25", "cosine", "scores"),
    [
        ({}, {}, {}),
        ({1: 8.0, 2: 4.0}, {}, {1: 1.0, 2: 0.5}),
        ({}, {1: 0.8, 2: 0.4}, {1: 1.0, 2: 0.5}),
        ({1: 8.0, 2: 4.0}, {1: 0.4, 2: 0.8}, {1: 0.75, 2: 0.75}),
        ({1: 8.0}, {2: 0.8}, {1: 0.5, 2: 0.5}),
        ({1: 8.0, 2: 2.0}, {1: -0.5, 2: 0.5}, {1: 0.5, 2: 0.625}),
        ({1: 0.0}, {1: -0.1, 2: -0.9}, {1: 0.0, 2: 0.0}),
    ],
)
def test_fused(bm25: dict[int, float], cosine: dict[int, float], scores: dict[int, float]) -> None:
    assert fused(bm25, cosine) == pytest.approx(scores)


def test_of_best_of_nothing() -> None:
    assert of_best({}) == {}


def test_a_language_wins_between_translations_and_not_against_the_answer() -> None:
    languages = {1: "en", 2: "de", 3: "de"}
    scores = preferring({1: 1.0, 2: 0.95, 3: 0.8}, languages, "de")
    assert scores[2] > scores[1] > scores[3]
    assert max(preferring({1: 1.0}, {1: "de"}, "de").values()) == 1.0


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("", ""),
        (" \n\t\x00\x1f ", ""),
        ("a\x00b\u2028c", "a b c"),
        ("u\u0308ber", "über"),
        ("half \ud800 pair", "half ? pair"),
        ("🙂", "🙂"),
    ],
)
def test_searched(typed: str, text: str) -> None:
    assert searched(typed) == text


def test_of_a_letter_the_beginning_and_the_end_are_searched_for() -> None:
    text = searched("start " + "x " * 30_000 + "end")
    assert text.startswith("start")
    assert text.endswith("end")
    assert len(text) <= LONGEST


def test_pieces() -> None:
    assert pieces("one two") == ["one two"]
    long = " ".join(f"This is the sentence with the number {n}." for n in range(60))
    cut = pieces(long)
    assert " ".join(cut) == long
    assert all(len(piece.split()) >= PIECE for piece in cut[:-1])
    assert pieces("word " * 500) == ["word " * 499 + "word"]


def test_spellings() -> None:
    assert spellings("Ueberweisung", "de") == "Ueberweisung Uberweisung"
    assert spellings("Ueberweisung", "en") == "Ueberweisung"
    assert spellings("Karte", "de") == "Karte"
