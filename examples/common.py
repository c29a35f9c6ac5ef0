"""What the examples share: flags, a workspace, a training run, and how the result is told.

The rooms meet here as they do in the ring of `luthier demo`, but without a project file: an example has its rows and
its questions at hand, and neither documents nor a gateway. Knows no data set.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from examples.contest import Compared, figures
from luthier import __version__
from luthier.cli.bars import bars
from luthier.cli.comparison import comparison
from luthier.errors import LuthierError
from luthier.lm.pull import local
from luthier.progress import Progress
from luthier.records.base import sha256
from luthier.records.data import DatasetVersion, Row
from luthier.records.training import LoraSpec, ModelVersion, Recipe
from luthier.store.workspace import Workspace
from luthier.workflows import child, training

Work = Callable[[argparse.Namespace, Workspace, Progress], tuple[Compared, dict[str, Any]]]
"""An example: flags, workspace and progress in; the comparison and what else is worth telling out."""


def parser(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """The flags that every example has, with its own defaults."""
    flags = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    flags.add_argument("--data", type=Path, required=True, help="folder of the data set")
    flags.add_argument("--base", default="smollm2-135m-instruct", help="a pulled model, or a model's folder")
    flags.add_argument("--rows", type=int, help="questions to train on, at most")
    flags.add_argument("--held-out", type=int, help="questions to ask, at most")
    flags.add_argument("--rank", type=int, default=16, help="of the LoRA adapter")
    flags.add_argument("--learning-rate", type=float)
    flags.add_argument("--epochs", type=int)
    flags.add_argument("--batch-rows", type=int, help="rows in a step")
    flags.add_argument("--micro-tokens", type=int, help="tokens, padding included, that go through at once")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--workspace", type=Path, help="keep everything here (else: a temporary folder)")
    flags.add_argument("--json", action="store_true", help="one JSON object on standard output")
    flags.set_defaults(**defaults)
    return flags


def main(work: Work, asked: argparse.Namespace) -> int:
    """Run an example in its workspace and print what came of it. Returns the exit code."""
    try:
        local(asked.base)  # what cannot be trained is said before anything is prepared
        with bars() as progress, opened(asked.workspace) as workspace:
            compared, more = work(asked, workspace, progress)
    except LuthierError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    if asked.json:
        print(json.dumps(figures(compared) | more))
    else:
        Console(highlight=False).print(comparison(*compared), *(f"\n{name}: {value}" for name, value in more.items()))
    return 0


@contextmanager
def opened(folder: Path | None) -> Iterator[Workspace]:
    """The workspace in `folder`, or one that is gone afterwards, unless something failed: the logs are in it."""
    place = folder or Path(tempfile.mkdtemp(prefix="luthier-"))
    with Workspace.open(place, create=True) as workspace, workspace.lock("an example"):
        yield workspace
    if not folder:
        shutil.rmtree(place)


def recipe(asked: argparse.Namespace, **fields: Any) -> Recipe:
    """The recipe that the flags ask for. The rate falls linearly to 0: a short run then ends on settled weights."""
    return Recipe(
        base=asked.base,
        lora=LoraSpec(rank=asked.rank),
        learning_rate=asked.learning_rate,
        epochs=asked.epochs,
        batch_rows=asked.batch_rows,
        micro_tokens=asked.micro_tokens,
        seed=asked.seed,
        checkpoint_every=100,
        **fields,
    )


def train(
    workspace: Workspace, wanted: Recipe, dataset: str, progress: Progress
) -> tuple[ModelVersion, dict[str, Any]]:
    """The model that a child process trains, and what the run took."""
    name = training.new_run_id()
    folder = workspace.folder / "runs" / name
    log = folder / "output.log"
    order = {"run": name, "name": wanted.name, "recipe": workspace.ledger.put(wanted), "dataset": dataset}
    arguments = ["--workspace", str(workspace.folder), *(f"{field}={value}" for field, value in order.items())]
    with child.running("luthier.training", arguments, log) as process:
        training.follow(process, workspace, name, progress, training.Live())
        child.require_success(process, log, f"training run {name}")
    finished = workspace.ledger.events(subject=name, verb="finished")[-1].body
    model = workspace.ledger.get(finished["model"], ModelVersion)
    counted = {name: int(model.figures[name]) for name in ("steps", "tokens")}
    settings = {"learning_rate": wanted.learning_rate, "rank": model.rank, "epochs": wanted.epochs}
    return model, settings | counted | {"seconds": finished["seconds"]}


def dataset(workspace: Workspace, rows: Sequence[Row], **fields: Any) -> DatasetVersion:
    """A version that holds exactly these rows, kept in the ledger."""
    version = DatasetVersion(
        rows=workspace.blobs.put_lines(row.body() for row in rows),
        counts=dict(Counter(row.split for row in rows)),
        languages=dict(Counter(row.language for row in rows)),
        builder=f"luthier-examples {__version__}",
        **fields,
    )
    workspace.ledger.put(version)
    return version


def drawn(names: Iterable[str], most: int, seed: int) -> list[str]:
    """At most `most` of `names`, by a hash: which ones does not depend on what else is there."""
    return sorted(names, key=lambda name: sha256(f"{seed}/{name}".encode()))[:most]
