"""Training runs in processes of their own that end as ordered: killed by kill -9 at a chosen moment, or by a full disk.

The processes are forked from one server that has torch loaded already, so that each costs no ten seconds. What runs
in them is what `python -m luthier.training` runs; `in_a_fresh_python` starts that itself.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch

from luthier.training import checkpoint, finish, loop
from luthier.training.__main__ import main
from luthier.training.optimiser import Optimiser
from tests.training.making import Bench

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload([__name__, "tests.training.warm"])
KILLED = -signal.SIGKILL
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
Fate = Callable[[], None]


class Ended(NamedTuple):
    """How a run's process ended, and the error that it left as JSON."""

    code: int | None
    error: dict[str, str]


def arguments(bench: Bench) -> list[str]:
    named = [f"{field}={value}" for field, value in bench.order._asdict().items()]
    return ["--workspace", str(bench.folder), *named]


def train(bench: Bench, *fates: Fate) -> Ended:
    """Run the training to its end, or to the one that the `fates` bring about."""
    log = bench.folder / "child.log"
    process: BaseProcess = FORKS.Process(target=body, args=(arguments(bench), log, fates))
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the run hangs"
    last = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
    return Ended(process.exitcode, json.loads(last) if last.startswith("{") else {})


def body(words: list[str], log: Path, fates: tuple[Fate, ...]) -> None:
    """What the forked process does."""
    torch.set_num_threads(1)
    finish.LONGEST_ANSWER = 4  # most of a tiny run's time would go into talking
    with log.open("wb") as out:
        for stream in (1, 2):
            os.dup2(out.fileno(), stream)
    for fate in fates:
        fate()
    sys.argv = ["luthier.training", *words]
    sys.exit(main())


def in_a_fresh_python(bench: Bench) -> subprocess.Popen[bytes]:
    """`python -m luthier.training`, as a user's command starts it."""
    command = [sys.executable, "-m", "luthier.training", *arguments(bench)]
    return subprocess.Popen(command, env=os.environ | ENVIRONMENT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def die(*_: Any, **__: Any) -> Any:
    """kill -9: nothing is flushed, nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def before_step(number: int, do: Callable[..., Any]) -> None:
    """Have `do(work, optimiser)` done when step `number` (from 1) is about to begin."""
    step = loop.one_step

    def one_step(work: loop.Work, optimiser: Optimiser, steps: Any, at: int) -> dict[str, float]:
        if at == number - 1:
            do(work, optimiser, steps[at])
        return step(work, optimiser, steps, at)

    loop.one_step = one_step


def dies_in_step(number: int) -> None:
    """The first micro-batch is through, its gradient gathered."""

    def do(work: loop.Work, optimiser: Optimiser, micros: Any) -> None:
        batch = work.method.collate([work.items[i] for i in micros[0]], work.pad)
        work.method.loss(work.model, batch).total.backward()
        optimiser.gather()
        die()

    before_step(number, do)


def dies_telling(number: int) -> None:
    """Half of the line of step `number` is written."""
    append = loop.append_metrics

    def append_metrics(folder: Path, figures: dict[str, float]) -> None:
        if figures["step"] == number:
            with (folder / loop.METRICS).open("a") as file:
                file.write(json.dumps(figures)[:20])
            die()
        append(folder, figures)

    loop.append_metrics = append_metrics


def while_saving(step: int, patch: Callable[[], None]) -> None:
    """Have `patch` applied when the checkpoint of `step` is about to be saved."""
    save = checkpoint.save

    def patched(folder: Path, at: int, *rest: Any) -> None:
        if at == step:
            patch()
        save(folder, at, *rest)

    checkpoint.save = patched


def dies_with_half_a_state(step: int) -> None:
    def save_file(tensors: dict[str, torch.Tensor], path: Path) -> None:
        write(tensors, path)
        os.truncate(path, path.stat().st_size // 2)
        die()

    write = checkpoint.save_file
    while_saving(step, lambda: setattr(checkpoint, "save_file", save_file))


def dies_before_the_rename(step: int) -> None:
    while_saving(step, lambda: setattr(Path, "rename", die))


def dies_after_the_rename(step: int) -> None:
    rename = Path.rename

    def renamed(path: Path, target: Path) -> None:
        rename(path, target)
        die()

    while_saving(step, lambda: setattr(Path, "rename", renamed))


def dies_before_the_result_is_kept() -> None:
    finish.check = die


def disk_fills_up(step: int, limit: int = 40_000) -> None:
    """From the checkpoint of `step` on no file may grow past `limit` bytes."""
    while_saving(step, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))


def goes_infinite(number: int) -> None:
    """A weight becomes inf before step `number`."""

    def do(work: loop.Work, optimiser: Optimiser, _: Any) -> None:
        with torch.no_grad():
            next(iter(optimiser.masters.values())).view(-1)[0] = torch.inf
            optimiser.round_into_model()

    before_step(number, do)
