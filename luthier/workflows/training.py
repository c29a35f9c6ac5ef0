"""Dataset + recipe → model version, in a child process that is followed by the files that it writes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from pydantic import ValidationError

from luthier import plugins
from luthier.errors import BadConfig, UnknownName
from luthier.progress import Progress
from luthier.records.base import happening_id
from luthier.records.project import Project
from luthier.records.training import ModelVersion, Recipe, Run
from luthier.store.workspace import Workspace
from luthier.workflows import child
from luthier.workflows.session import Session

if TYPE_CHECKING:
    from luthier.training.trackers import Tracker

TRAINING = "luthier.training"
METRICS = "metrics.jsonl"
LOOKS = "watch.jsonl"
EVERY = 0.3
"""Seconds between two looks at what the child wrote."""
RECENT = 5
"""Steps that the shown loss and speed are averaged over."""
SPOKEN = {"asked": "question", "answers": "answer", "wanted": "wanted"}
SHOWN = 160
"""Letters of a sample answer that are shown."""
Line = dict[str, Any]


class Placed(NamedTuple):
    """Where a run stands: above which model, and on how many processes of this machine."""

    on_top_of: str = ""
    processes: int = 1
    shard: bool = False
    """Each process holds a part of the weights."""
    ray: str = ""
    """Workers of a Ray cluster, as `4` or, where the cluster runs already, `4@ADDRESS`."""


class Live(NamedTuple):
    """Who follows a run while it lasts."""

    say: Callable[[str], None] = lambda sentence: None
    """Sentences for people: what `auto` became, where the tokens went, how validation rows are answered."""
    trackers: Sequence[Tracker] = ()
    halt: Callable[[Sequence[Line], Sequence[Line]], bool] = lambda lines, looks: False
    """Given every step's figures and every look, whether to end the run here."""


HERE = Placed()


def recipe(project: Project) -> Recipe:
    """The recipe that the project file asks for."""
    part = project.training.model_dump(exclude={"most_rows", "questions_per_row", "unanswerable"})
    return Recipe(name=project.name, base=project.base, **part)


def read_recipe(path: Path, project: Project | None = None) -> Recipe:
    """The recipe in a YAML file; without a `base` of its own, on the project's. Raises BadConfig or UnknownName."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadConfig(f"{path} is no recipe that can be read ({error})", "see recipes/ for examples") from error
    if not isinstance(data, dict):
        raise BadConfig(f"{path} holds no settings", "see recipes/ for examples")
    own = {"base": project.base, "name": path.stem} if project else {"name": path.stem}
    try:
        return Recipe.model_validate(own | data)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            near = get_close_matches(field, Recipe.model_fields, n=1) or [", ".join(Recipe.model_fields)]
            raise UnknownName(f"{path}: no setting is called {field!r}", f"there is: {near[0]}") from error
        raise BadConfig(f"{path}: {field}: {problem['msg']}", "mend it; docs/reference.md has every setting") from error


def new_run_id() -> str:
    """The id of a run that is about to begin."""
    return happening_id("run", time.time_ns() // 1_000_000, os.urandom(10))


def train(
    session: Session, run: str, dataset: str, asked: Recipe, live: Live | None = None, placed: Placed | None = None
) -> ModelVersion:
    """Train in a child process. With the id of a run that was cut off, it goes on from its newest checkpoint."""
    model = train_or_halt(session, run, dataset, asked, live or Live(), placed or HERE)
    assert model is not None, "nobody halts this run"
    return model


def train_or_halt(
    session: Session, run: str, dataset: str, asked: Recipe, live: Live, placed: Placed = HERE
) -> ModelVersion | None:
    """The same, or None where `live.halt` ended it."""
    ledger = session.workspace.ledger
    folder = session.workspace.folder / "runs" / run
    log = folder / "output.log"
    order = {"run": run, "recipe": ledger.put(asked, session.by), "dataset": dataset, "name": session.project.name}
    order["on_top_of"] = placed.on_top_of
    arguments = ["--workspace", str(session.workspace.folder), *(f"{field}={value}" for field, value in order.items())]
    module, arguments = launched(placed, arguments)
    session.progress("train", 0, 0)
    try:
        with child.running(module, arguments, log) as process:
            if follow(process, session.workspace, run, session.progress, live):
                return None
            child.require_success(process, log, f"training run {run}")
    finally:
        for tracker in live.trackers:
            tracker.close()
    finished = ledger.events(subject=run, verb="finished")[-1]
    return ledger.get(finished.body["model"], ModelVersion)


def launched(placed: Placed, arguments: list[str]) -> tuple[str, list[str]]:
    """The module to run and its arguments: the training itself, or what starts it several times."""
    if placed.ray:
        workers, _, address = placed.ray.partition("@")
        if not workers.isdigit() or int(workers) < 1:
            raise BadConfig(f"{placed.ray!r} is no number of workers", "write --ray 4, or --ray 4@ADDRESS")
        flags = ["--workers", workers, *(["--address", address] if address else [])]
        return f"{TRAINING}.ray_launch", [*flags, *(["--shard"] if placed.shard else []), *arguments]
    if placed.processes == 1:
        return TRAINING, arguments
    several = ["--standalone", "--nproc-per-node", str(placed.processes), "-m", TRAINING]
    return "torch.distributed.run", [*several, *arguments, *(["--shard"] if placed.shard else [])]


def follow(process: Popen[bytes], workspace: Workspace, run: str, progress: Progress, live: Live) -> bool:
    """Tell what the run writes until its process ends, or until it is to be halted: then True."""
    teller = Teller(workspace, run, progress, live)
    running = True
    while running:
        running = process.poll() is None
        if running:
            time.sleep(EVERY)
        if teller.tell() and running:
            return True
    return False


class Teller:
    """Reads what a run has written since the last time, and tells it."""

    def __init__(self, workspace: Workspace, run: str, progress: Progress, live: Live) -> None:
        self.workspace, self.run, self.progress, self.live = workspace, run, progress, live
        self.folder = workspace.folder / "runs" / run
        self.step = self.look = self.event = 0
        self.peak = 0.0

    def tell(self) -> bool:
        """Tell what is new; whether the run is to be halted."""
        for event in self.workspace.ledger.events(subject=self.run, after=self.event):
            self.event = event.seq
            for sentence in (*event.body.get("reasons", ()), *event.body.get("said", ())):
                self.live.say(str(sentence))
            pace = event.body.get("pace", {})
            self.peak = pace["rate"] / pace["operations"] if pace.get("operations") else self.peak
        lines, looks = whole_lines(self.folder / METRICS), whole_lines(self.folder / LOOKS)
        if lines and lines[-1]["step"] != self.step:
            new = [line for line in lines if line["step"] > self.step] or lines  # taken up again: an earlier step
            self.step = lines[-1]["step"]
            self.tell_steps(lines[-RECENT:])
            for tracker in self.live.trackers:
                tracker(new)
        for look in looks:
            if look["step"] > self.look:
                self.live.say(seen(look))
                self.look = look["step"]
        return self.live.halt(lines, looks)

    def tell_steps(self, lines: Sequence[Line]) -> None:
        """How far it is, with the figures of the last few steps."""
        speed = sum(line["tokens"] for line in lines) / max(sum(line["seconds"] for line in lines), 1e-9)
        shown = {"loss": sum(line["loss"] for line in lines) / len(lines), "tokens_s": speed}
        if self.peak:
            shown["utilisation"] = speed / self.peak
        self.progress("train", int(lines[-1]["step"]), int(lines[-1]["of"]), **shown)


def seen(look: Line) -> str:
    """A look at the validation rows as people read it, with its first answer."""
    best = ", the best so far" if look["weights"] else ""
    loss = f", loss {look['loss']['loss']:.3f}" if look["loss"] else ""
    said = f"step {look['step']}: {look['mean']:.3f} over {look['n']} validation rows{loss}{best}"
    if not look["samples"]:
        return said
    first = look["samples"][0]
    turns = (f"  {what:<8}{first[key][:SHOWN]}" for what, key in SPOKEN.items())
    return "\n".join((said, *turns))


def whole_lines(path: Path) -> list[Line]:
    """The lines of a file that is being written, but for one that is not whole yet."""
    if not path.is_file():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line]


def trackers(session: Session, run: str, names: Sequence[str]) -> list[Tracker]:
    """The trackers called `names`, writing below the run's folder; CSV is always among them."""
    folder = session.workspace.folder / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    return [plugins.find("tracker", name)(folder, run) for name in dict.fromkeys(("csv", *names))]


def begun(session: Session, run: str) -> Run:
    """The record of a run that was started."""
    return session.workspace.ledger.get(run, Run)
