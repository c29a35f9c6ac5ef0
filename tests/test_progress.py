"""Progress: one call, any number of readers."""

from __future__ import annotations

from luthier.progress import silent, to_all


def test_every_reader_is_told_the_same_in_turn() -> None:
    heard: list[tuple[str, str, int, int, dict[str, float]]] = []

    def reader(name: str):
        return lambda task, done, total, /, **figures: heard.append((name, task, done, total, figures))

    tell = to_all(reader("first"), silent, reader("second"))
    tell("train", 3, 10, loss=1.5)
    assert heard == [("first", "train", 3, 10, {"loss": 1.5}), ("second", "train", 3, 10, {"loss": 1.5})]


def test_figures_may_be_called_anything() -> None:
    heard: list[dict[str, float]] = []
    to_all(lambda task, done, total, /, **figures: heard.append(figures))("train", 0, 1, done=0.5, task=1.0)
    assert heard == [{"done": 0.5, "task": 1.0}]


def test_nobody_needs_to_listen() -> None:
    to_all()("train", 1, 2)
    silent("train", 1, 2, loss=0.1)
