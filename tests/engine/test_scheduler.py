"""What is answered does not depend on who else is in the batch, and everybody who leaves makes room."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from luthier.engine import scheduler as scheduling
from luthier.engine.engine import Engine
from luthier.engine.rows import Delta, Job
from luthier.engine.sampling import Sampling
from luthier.errors import Busy, RunFailed, Unavailable
from tests.engine.conftest import Folders

TEXTS = [
    "How do I block my card?",
    "A replacement card costs",
    "Wie sperre ich meine Karte? " * 6,
    "system",
    "The overdraft interest is 9.5 percent a year. " * 9,
    "Savings accounts pay",
]


class Answer:
    """Collects the deltas of one job."""

    def __init__(self) -> None:
        self.deltas: Queue[Delta] = Queue()
        self.text = ""
        self.tokens: list[int] = []

    def wait(self) -> Delta:
        while True:
            delta = self.deltas.get(timeout=20)
            self.text += delta.text
            self.tokens += [one.token for one in delta.scored]
            if delta.finish or delta.error:
                return delta


def ask(engine: Engine, text: str, adapter: str | None = None, **asked: Any) -> tuple[Job, Answer]:
    answer = Answer()
    wish = Sampling(**({"max_tokens": 12, "temperature": 0, "logprobs": 0, "ignore_eos": True} | asked))
    job = Job(engine.chat.encode(text), wish, engine.adapters[adapter] if adapter else None, answer.deltas.put)
    engine.scheduler.submit(job)
    return job, answer


def alone(engine: Engine, text: str, adapter: str | None, **asked: Any) -> list[int]:
    answer = ask(engine, text, adapter, **asked)[1]
    answer.wait()
    return answer.tokens


@pytest.mark.parametrize("budget", [256, 50, 7])
def test_a_mixed_batch_says_what_each_would_say_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    names = [None, *engine.adapters]
    wanted = [
        (text, names[n % 4], {"max_tokens": 4 + 2 * n, "seed": n, "temperature": n % 2})
        for n, text in enumerate(TEXTS * 2)
    ]
    expected = [alone(engine, text, name, **asked) for text, name, asked in wanted]
    monkeypatch.setattr(scheduling, "PROMPT_TOKENS", budget)
    answers = [ask(engine, text, name, **asked)[1] for text, name, asked in wanted]
    for answer, tokens in zip(answers, expected, strict=True):
        assert answer.wait().finish == "length"
        assert answer.tokens == tokens
    assert engine.scheduler.table.live == 0


def test_adapters_change_what_is_said(engine: Engine) -> None:
    said = {tuple(alone(engine, TEXTS[0], name)) for name in [None, *engine.adapters]}
    assert len(said) == 4


def test_a_cancelled_job_frees_its_slot(engine: Engine) -> None:
    jobs = [ask(engine, text, max_tokens=400)[0] for text in TEXTS]
    _, waiting = ask(engine, "next", max_tokens=3)
    for job in jobs:
        job.cancelled = True
    assert waiting.wait().finish == "length"


def test_the_window_ends_an_answer(engine: Engine) -> None:
    _, answer = ask(engine, TEXTS[0], max_tokens=100_000)
    assert answer.wait().finish == "length"
    assert len(answer.tokens) + len(engine.chat.encode(TEXTS[0])) == engine.model.window


def test_an_adapter_unloaded_meanwhile_finishes_its_answers(engine: Engine) -> None:
    expected = alone(engine, TEXTS[0], "plain", max_tokens=60)
    _, answer = ask(engine, TEXTS[0], "plain", max_tokens=60)
    engine.unload_adapter("plain")
    assert answer.wait().finish == "length"
    assert answer.tokens == expected


def test_a_step_that_fails_fails_its_answers_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = engine.model.hidden

    def out_of_memory(parts: Any) -> Any:
        if any(len(part.ids) > 40 for part in parts):
            raise MemoryError("no room")
        return whole(parts)

    monkeypatch.setattr(engine.model, "hidden", out_of_memory)
    assert isinstance(ask(engine, TEXTS[4])[1].wait().error, RunFailed)
    assert ask(engine, TEXTS[0])[1].wait().finish == "length"
    assert engine.metrics.ends["error"] == 1


def test_a_bug_ends_the_thread_and_nobody_waits_for_ever(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(engine.model, "hidden", lambda _: 1 / 0)
    assert isinstance(ask(engine, TEXTS[0])[1].wait().error, RunFailed)
    engine.scheduler.thread.join(5)
    assert not engine.scheduler.alive
    with pytest.raises(Unavailable):
        ask(engine, TEXTS[0])


def test_too_many_waiting_is_said(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "MOST_WAITING", 0)
    with pytest.raises(Busy):
        ask(engine, TEXTS[0])


def test_a_common_beginning_is_computed_once_and_changes_nothing(engine: Engine) -> None:
    expected = alone(engine, TEXTS[4] + "one", "rooted")
    computed = engine.metrics.prompt_tokens - engine.metrics.shared_tokens
    assert alone(engine, TEXTS[4] + "one", "rooted") == expected
    assert engine.metrics.prompt_tokens - engine.metrics.shared_tokens == computed + 1


def test_an_adapter_that_overflows_harms_nobody_else(engine: Engine, tmp_path: Path, folders: Folders) -> None:
    wild = Path(shutil.copytree(folders.adapters["plain"], tmp_path / "wild"))
    weights = load_file(wild / "adapter_model.safetensors")
    save_file({name: weight * 1e30 for name, weight in weights.items()}, wild / "adapter_model.safetensors")
    engine.load_adapter("wild", wild)
    names = ["plain", "rooted", None, "narrow", "wild"]
    expected = [alone(engine, TEXTS[0], name) for name in names[:4]]
    for _ in range(2):
        answers = [ask(engine, TEXTS[0], name)[1] for name in names]
        assert isinstance(answers[4].wait().error, RunFailed)
        for answer, tokens in zip(answers, expected, strict=False):
            answer.wait()
            assert answer.tokens == tokens
    assert all(bool(layer.isfinite().all()) for layer in engine.model.memory.values)


def test_an_errand_runs_on_the_scheduler_thread_between_passes(engine: Engine) -> None:
    _, answer = ask(engine, TEXTS[0], max_tokens=100)
    assert engine.scheduler.errand(threading.current_thread).result(20) is engine.scheduler.thread
    with pytest.raises(MemoryError):
        engine.scheduler.errand(lambda: (_ for _ in ()).throw(MemoryError())).result(20)
    assert answer.wait().finish == "length"
