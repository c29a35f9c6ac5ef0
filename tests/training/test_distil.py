"""Distillation: from a model, from a server, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from luthier.errors import BadConfig, BadData, LuthierError
from luthier.lm.chat import Chat
from luthier.records.data import Message, Row
from luthier.records.training import ModelVersion
from luthier.store.workspace import Workspace
from luthier.training import checkpoint, finish, teacher
from luthier.training.base import load
from luthier.training.distil import Options, pinned
from luthier.training.loop import Work
from luthier.training.method import chosen
from luthier.training.run import execute
from tests.tiny import tiny_model
from tests.training.making import Bench, bench, make_recipe, row, some_rows

Lines = list[dict[str, float]]


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finish, "LONGEST_ANSWER", 4)


def run(bench: Bench) -> tuple[ModelVersion, Lines]:
    with Workspace.open(bench.folder) as workspace:
        model = execute(workspace, bench.order)
    return model, [json.loads(line) for line in (bench.run / "metrics.jsonl").read_text().splitlines()]


def distil(folder: Path, base: Path, rows: list[Row] | None = None, **options: Any) -> Bench:
    return bench(folder, make_recipe(base, method="distil", options=options, epochs=4, learning_rate=1e-2), rows)


# From a model


def test_a_student_comes_nearer_to_its_teacher(educated: Path, base: Path, tmp_path: Path) -> None:
    """The teacher is the base after it learnt these rows; the student learns from its distribution alone."""
    one = distil(tmp_path, base, teacher=str(educated), mix=0.0, top=16)
    model, lines = run(one)
    assert lines[-1]["kl"] < 0.5 * lines[0]["kl"]
    assert lines[-1]["hard"] < lines[0]["hard"]
    assert {"validation_kl", "validation_hard", "validation_loss"} <= model.figures.keys()
    (kept,) = one.run.glob("teacher-*")
    learnt = sum(item["learnt"] for item in told(one))
    ids = np.load(kept / teacher.IDS)
    assert ids.shape[1] == 16
    assert ids.shape[0] > learnt  # those of the validation rows as well
    size = sum((kept / name).stat().st_size for name in (teacher.IDS, teacher.SAID))
    assert size == ids.shape[0] * 16 * 8 + 2 * 128  # 8 * top bytes a token, as the page says


def told(one: Bench) -> list[dict[str, int]]:
    with Workspace.open(one.folder) as workspace:
        return [event.body["tokens"] for event in workspace.ledger.events(subject=one.order.run, verb="checked")]


def test_a_teacher_with_another_tokenizer_is_refused(base: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other")
    tokenizer = Tokenizer.from_file(str(other / "tokenizer.json"))
    tokenizer.add_tokens(["frobnicate"])
    tokenizer.save(str(other / "tokenizer.json"))
    with pytest.raises(BadConfig, match="has another tokenizer than the student") as caught:
        run(distil(tmp_path / "w", base, teacher=str(other)))
    assert "`url`" in caught.value.mend


def test_another_teacher_than_before_is_refused(base: Path, tmp_path: Path) -> None:
    tutor = tiny_model(tmp_path / "tutor", seed=5)
    recipe = make_recipe(base, method="distil", options={"teacher": str(tutor)}, max_steps=4)
    one = bench(tmp_path / "w", recipe)
    run(one)
    with Workspace.open(one.folder) as workspace:
        model = load(recipe, "generate")
        work = Work(model, chosen(recipe), recipe, (), (), 0, one.run, {"tokenizer": "x"})
        manifest = json.loads((one.run / "step-000004" / "manifest.json").read_text())
        chat = Chat.load(base)
        given = Options(teacher=str(tutor))
        assert pinned(work, given, chat).fingerprint["teacher"] == manifest["fingerprint"]["teacher"]
        tiny_model(tutor, seed=6)
        other = pinned(work, given, chat).fingerprint
        with pytest.raises(BadConfig, match="was written by another run"):
            checkpoint.newest(one.run, manifest["fingerprint"] | {"teacher": other["teacher"]})
        assert workspace.ledger.events(subject=one.order.run, verb="finished")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give `teacher`"),
        ({"teacher": "x", "url": "http://127.0.0.1:1", "model": "x"}, "give `teacher`"),
        ({"url": "http://127.0.0.1:1"}, "`url` needs `model`"),
        ({"url": "http://127.0.0.1:1", "model": "x", "temperature": 2}, "at temperature 1 alone"),
        ({"teacher": "x", "top": 0}, "teaches nothing"),
        ({"teacher": "x", "mix": 2}, "options of distil: mix"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], words: str, base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=words):
        run(distil(tmp_path, base, **options))


# From a server


@pytest.fixture(scope="module")
def server(educated: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "luthier.engine", "--base", str(educated), "--name", "tutor", "--dtype", "float32"]
    process = subprocess.Popen(
        [*command, "--threads", "1", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdout
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(20)


def questions() -> list[Row]:
    """The prompts of the rows that the teacher learnt, without their answers."""
    return [
        row(n, (Message(role="user", content=f"{each.messages[-2].content}"),))
        for n, each in enumerate(some_rows(12, 0))
        if len(each.messages) == 2
    ]


def test_a_servers_answers_are_learnt(server: str, base: Path, tmp_path: Path) -> None:
    one = distil(tmp_path, base, questions(), url=server, model="tutor", max_tokens=64)
    _, lines = run(one)
    answered = [json.loads(line) for line in (one.run / teacher.ANSWERS).read_text().splitlines()]
    assert {each["row"] for each in answered} == {each.id for each in questions()}
    assert sum(each["finish"] == "stop" for each in answered) >= len(answered) / 2
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]


def test_a_servers_choices_are_learnt(server: str, base: Path, tmp_path: Path) -> None:
    _, lines = run(distil(tmp_path, base, questions(), url=server, model="tutor", max_tokens=64, top=8, mix=0.0))
    assert lines[-1]["kl"] < 0.7 * lines[0]["kl"]
    assert lines[-1]["hard"] < lines[0]["hard"]


def test_answers_that_came_are_not_asked_for_again(server: str, base: Path, tmp_path: Path) -> None:
    one = distil(tmp_path, base, questions(), url=server, model="tutor", max_tokens=64)
    run(one)
    path = one.run / teacher.ANSWERS
    whole = path.read_text()
    kept = list(teacher.kept_answers(path))
    path.write_text(whole + '{"row": "half a li')
    assert list(teacher.kept_answers(path)) == kept
    assert path.read_text() == whole


def test_a_server_that_only_stammers(server: str, base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no answer that can be learnt"):
        run(distil(tmp_path, base, questions(), url=server, model="tutor", max_tokens=1))


def test_a_server_that_is_not_there(base: Path, tmp_path: Path) -> None:
    with pytest.raises(LuthierError, match="no server answers"):
        run(distil(tmp_path, base, questions(), url="http://127.0.0.1:9", model="tutor"))
