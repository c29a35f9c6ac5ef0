"""Splits, duplicates, languages, scores."""

import json
from collections import Counter

import pytest

from luthier.data.dedupe import Said, row_id, same_key
from luthier.data.score import Marked, read_marked, score
from luthier.data.split import split_of
from luthier.errors import BadData
from luthier.lm.language import language_of
from luthier.records.data import Message


def said(*texts: str, **more) -> Said:
    return Said(tuple(Message(role="user", content=text) for text in texts), **more)


def test_shares_of_the_splits():
    found = Counter(split_of(f"row {number}", 0.1, 0.2) for number in range(20_000))
    assert found["test"] / 20_000 == pytest.approx(0.2, abs=0.01)
    assert found["validation"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert split_of("a", 0, 0) == "train"


def test_a_larger_share_moves_rows_out_of_train_only():
    names = [f"row {number}" for number in range(2000)]
    before = {name: split_of(name, 0.1, 0.1) for name in names}
    after = {name: split_of(name, 0.2, 0.1) for name in names}
    assert all(after[name] == split for name, split in before.items() if split != "train")


def test_the_seed_deals_anew():
    assert {split_of("a", 0.5, 0, seed) for seed in range(20)} == {"train", "validation"}


def test_what_counts_as_the_same():
    assert same_key(said("What  is the Fee?\n")) == same_key(said("what is the fee?"))
    assert same_key(said("ﬁne")) == same_key(said("fine"))
    assert same_key(said("8 EUR")) != same_key(said("9 EUR"))
    assert same_key(said("a", "b")) != same_key(said("a b"))
    assert row_id(said("a")) != row_id(said("A"))
    assert len(row_id(said("a"))) == 16


def test_a_preference_and_a_rating_are_other_rows_than_the_dialogue():
    plain, worse, better = said("a"), said("a", rejected=said("b").messages), said("a", good=True)
    assert len({row_id(each) for each in (plain, worse, better, said("a", good=False))}) == 4
    assert len({same_key(each) for each in (plain, worse, better, said("a", good=False))}) == 4
    assert same_key(worse) == same_key(said("A", rejected=said("b ").messages))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "What is the fee for my card?"),
        ("de", "Was kostet die Karte und wie bekomme ich sie?"),
        ("es", "¿Cuánto cuesta la tarjeta y cómo la pido?"),
        ("fr", "Combien coûte la carte et comment est-ce que je la commande pour mon fils ?"),
        ("en", "IBAN?"),
    ],
)
def test_languages(language, text):
    assert language_of(text) == language


def test_scores(scrubber, tmp_path):
    dialogues = {
        "a": (["I'm Anna Schmidt, card 4111 1111 1111 1111.", "Hello Mrs Schmidt, Zephyrine"], "en"),
        "b": (["I live at Nowhere", ""], "en"),
    }
    marks = [
        Marked("a", 0, 4, 16, "PERSON", "Anna Schmidt"),
        Marked("a", 0, 23, 42, "CARD", "4111 1111 1111 1111"),
        Marked("a", 1, 10, 17, "PERSON", "Schmidt"),
        Marked("b", 0, 10, 17, "ADDRESS", "Nowhere"),
    ]
    path = tmp_path / "gold.jsonl"
    path.write_text("\n".join(json.dumps(mark._asdict()) for mark in marks))
    assert read_marked(path) == marks
    scores = score(dialogues, marks, scrubber)
    assert (scores["PERSON"].recall, scores["PERSON"].precision) == (1.0, pytest.approx(2 / 3))
    assert (scores["CARD"].recall, scores["CARD"].typed) == (1.0, 1)
    assert (scores["ADDRESS"].recall, scores["ADDRESS"].precision) == (0.0, 1.0)
    assert (scores["all"].marked, scores["all"].covered) == (4, 3)


def test_marks_that_belong_to_something_else(scrubber, tmp_path):
    with pytest.raises(BadData, match="does not stand at 0"):
        score({"a": (["Anna"], "en")}, [Marked("a", 0, 0, 4, "PERSON", "Peter")], scrubber)
    with pytest.raises(BadData, match="does not stand"):
        score({}, [Marked("a", 0, 0, 4, "PERSON", "Peter")], scrubber)
    path = tmp_path / "gold.jsonl"
    path.write_text('{"dialogue": "a"}')
    with pytest.raises(BadData, match="marked spans"):
        read_marked(path)
    with pytest.raises(BadData, match="marked spans"):
        read_marked(tmp_path / "none")
