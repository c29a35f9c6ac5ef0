"""One training run from the ledger to the ledger: Recipe + DatasetVersion in, ModelVersion out.

Knows nothing of how the rows were made or where the model will serve. Started again with the same run id it goes on
from its newest checkpoint, or returns the model that it finished with.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from luthier import __version__, plugins
from luthier.errors import BadConfig, LuthierError, NoRoom, as_dict
from luthier.lm import adapters
from luthier.lm.catalogue import licence_of
from luthier.lm.chat import Chat
from luthier.lm.load import has_fast_bfloat16
from luthier.lm.pull import folder_digest, local
from luthier.progress import Progress, silent
from luthier.records.data import DatasetVersion, Row, Split
from luthier.records.training import ModelVersion, Recipe, Run
from luthier.store import lock
from luthier.store.erasure import require_whole
from luthier.store.ledger import Ledger
from luthier.store.workspace import Workspace
from luthier.training import base, estimate, finish, preflight, servable, watch
from luthier.training import machine as machines
from luthier.training.loop import METRICS, Outcome, Work, train
from luthier.training.method import Item, Method, chosen
from luthier.training.settings import resolve
from luthier.training.world import ALONE, World

MOST_VALIDATION_ROWS = 16
PACE = ("threads", "processes")
"""What of a machine may change while a run is cut off: it goes on to the same losses, though not to the same bytes."""


class Order(NamedTuple):
    """What to train: ids of records in the ledger, and the name of the model to be made."""

    run: str
    recipe: str
    dataset: str
    name: str
    on_top_of: str = ""
    """The model version whose adapter goes below the new one."""


def execute(workspace: Workspace, order: Order, progress: Progress = silent, world: World = ALONE) -> ModelVersion:
    """Train what `order` asks for and record the model. A finished run returns its model and does nothing.

    Where several processes train, this is what the first of them does; the others `assist`.

    Raises BadData or BadConfig from the pre-flight, RunFailed at the first number that is not finite, NoRoom, and Busy
    where another process is at this run.
    """
    ledger = workspace.ledger
    for event in ledger.events(subject=order.run, verb="finished"):
        world.wait()
        return ledger.get(event.body["model"], ModelVersion)
    dataset = ledger.get(order.dataset, DatasetVersion)
    rows = list(read_rows(workspace, dataset, "train"))
    asked = ledger.get(order.recipe, Recipe)
    method = chosen(asked)
    gpu = torch.cuda.is_available()
    fast = has_fast_bfloat16()
    room = estimate.room(rows, method, Chat.load(local(asked.base)), settled_dtype(asked, fast_bfloat16=fast))
    resolved = resolve(asked, len(rows), fast_bfloat16=fast, gpu=gpu, factor=method.rate, room=room)
    recipe = resolved.recipe
    folder = workspace.folder / "runs" / order.run
    under = base.below(workspace, order.on_top_of or None, folder)
    run = Run(
        id=order.run,
        recipe=ledger.put(recipe),
        dataset=dataset.id,
        base_digest=folder_digest(base.ground(recipe, under)),
        machine=machine(world),
        on_top_of=order.on_top_of or None,
        code=f"luthier {__version__}; {recipe.method}: {plugins.version('method', recipe.method)}",
    )
    begin(ledger, run)
    folder.mkdir(parents=True, exist_ok=True)
    lower = (adapters.rank(under) or 0) if under else 0
    reasons = [*resolved.reasons, *servable.warnings(recipe, method.task, lower_rank=lower)]
    with lock.held(folder / "lock", f"training {run.id}"):
        ledger.tell(run.id, "started", {"reasons": reasons} | {name: run.machine[name] for name in PACE})
        world.wait()
        try:
            model = carry_out(workspace, run, order.name, method, progress, world)
        except LuthierError as error:
            with contextlib.suppress(NoRoom):  # which may be the very error
                ledger.tell(run.id, "failed", as_dict(error))
            raise
    return model


def assist(workspace: Workspace, order: Order, world: World) -> None:
    """Train along with the first process, which has recorded the run by then; write nothing."""
    world.wait()
    ledger = workspace.ledger
    if ledger.events(subject=order.run, verb="finished"):
        return
    run = ledger.get(order.run, Run)
    recipe = ledger.get(run.recipe, Recipe)
    method = chosen(recipe)
    (method.train or train)(get_ready(workspace, run, recipe, method, world)[0], silent)


def carry_out(
    workspace: Workspace, run: Run, name: str, method: Method, progress: Progress, world: World
) -> ModelVersion:
    """Everything from the pre-flight to the finished model."""
    ledger = workspace.ledger
    recipe = ledger.get(run.recipe, Recipe)
    work, chat, found = get_ready(workspace, run, recipe, method, world)
    pace = estimate.pace_of(recipe, work.items)
    seen = {"tokens": found.ledger._asdict(), "trainable": found.trainable, "said": list(found.said), "pace": pace}
    ledger.tell(run.id, "checked", seen)
    outcome = (method.train or train)(work, progress)
    machines.give_back()  # before other models are read to try the result
    under = base.below(workspace, run.on_top_of, work.folder)
    finish.require_moved(recipe, method.task, under, outcome.masters, outcome.steps)
    if world.shard:  # whole again, for the files and the last checks
        work = work._replace(model=base.with_trained(base.load(recipe, method.task, under), outcome.masters))
    folder = work.folder / "result"
    stamp = adapters.Stamp(run.base_digest, chat.template_digest, chat.tokenizer_digest)
    finish.write(work.model, outcome.masters, folder, chat, stamp)
    checks = finish.check(work.model, folder, work.items, chat, method.task)
    model = ModelVersion(
        name=name,
        base=recipe.base,
        base_digest=run.base_digest,
        base_licence=licence_of(recipe.base),
        template_digest=chat.template_digest,
        tokenizer_digest=chat.tokenizer_digest,
        files={path.name: workspace.blobs.put_file(path) for path in sorted(folder.iterdir())},
        run=run.id,
        dataset=run.dataset,
        rank=adapters.rank(folder),
        figures=figures(outcome) | checks.figures(),
    )
    ledger.put(model)
    metrics = workspace.blobs.put_file(work.folder / METRICS)
    ledger.tell(run.id, "finished", {"model": model.id, "metrics": metrics, "seconds": round(outcome.seconds, 1)})
    return model


def begin(ledger: Ledger, run: Run) -> None:
    """Record the run. Raises BadConfig that names the difference where it was started with other things."""
    if not ledger.events(subject=run.id, verb="recorded"):
        ledger.put(run)
        return
    before, now = (ingredients(ledger, each) for each in (ledger.get(run.id, Run), run))
    if differs := [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]:
        changes = "; ".join(f"{key} was {before.get(key)} and is now {now.get(key)}" for key in differs)
        raise BadConfig(f"{run.id} was started otherwise: {changes}", "restore what changed, or start a new run")


def ingredients(ledger: Ledger, run: Run) -> dict[str, object]:
    """Everything that decides what a run leaves, by name."""
    own = {"dataset": run.dataset, "base_digest": run.base_digest, "code": run.code, "on_top_of": run.on_top_of}
    machine = {name: value for name, value in run.machine.items() if name not in PACE}
    return ledger.get(run.recipe, Recipe).model_dump(mode="json") | machine | own


class Found(NamedTuple):
    """What the pre-flight saw."""

    ledger: preflight.Ledger
    trainable: int
    said: tuple[str, ...]
    """What people should know, as sentences."""


def get_ready(workspace: Workspace, run: Run, recipe: Recipe, method: Method, world: World) -> tuple[Work, Chat, Found]:
    """Load the base, put the adapter on, prepare the rows, and refuse what would fail silently."""
    dataset = workspace.ledger.get(run.dataset, DatasetVersion)
    chat = Chat.load(local(recipe.base))
    folder = workspace.folder / "runs" / run.id
    under = world.first_before_others(lambda: base.below(workspace, run.on_top_of, folder))
    rows = list(read_rows(workspace, dataset, "train"))
    held_out = list(read_rows(workspace, dataset, "validation"))
    budget = estimate.budget(rows, method, chat, recipe)
    model = world.sharded(base.load(recipe, method.task, under))
    preflight.check_tokenizer(model, chat)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    alike = preflight.check_overlap(rows, [*held_out, *read_rows(workspace, dataset, "test")])
    prepared = preflight.prepare(rows, method, chat, recipe, vocabulary)
    some = held_out[:MOST_VALIDATION_ROWS]
    validation = preflight.prepare(some, method, chat, recipe, vocabulary).items if some else ()
    trainable = preflight.check_model(model, recipe)
    preflight.check_disk(folder, trainable)
    pad = min(chat.stop_ids)
    items, tried = (annotated(model, method, some, recipe, pad) for some in (prepared.items, validation))
    fingerprint = {
        "recipe": run.recipe,
        "dataset": run.dataset,
        "base": run.base_digest,
        "template": chat.template_digest,
        "tokenizer": chat.tokenizer_digest,
        "below": run.on_top_of or "",
        **{name: value for name, value in run.machine.items() if name not in PACE},
    }
    company = preflight.check_company(model, items, recipe, pad)
    preflight.probe(model, method, items, recipe, pad)
    work = Work(model, method, recipe, items, tried, pad, folder, fingerprint, tidy_above=budget, world=world)
    said = (prepared.ledger.spelled(), *alike, *company)
    tell = partial(tell_look, workspace.ledger, run.id)
    return watch.watched(work, held_out, chat, tell), chat, Found(prepared.ledger, trainable, said)


def tell_look(ledger: Ledger, run: str, look: watch.Look) -> None:
    """Tell a look at the validation rows, once: a run that was taken up again looks again."""
    if look.step not in {event.body["step"] for event in ledger.events(subject=run, verb="watched")}:
        ledger.tell(run, "watched", look._asdict() | {"samples": len(look.samples)})


def settled_dtype(asked: Recipe, *, fast_bfloat16: bool) -> Recipe:
    """`asked` with what memory depends on settled."""
    chosen = "bfloat16" if fast_bfloat16 else "float32"
    return asked.model_copy(update={"dtype": chosen}) if asked.dtype == "auto" else asked


def annotated(
    model: PreTrainedModel, method: Method, items: Sequence[Item], recipe: Recipe, pad: int
) -> Sequence[Item]:
    """The items with what the method wants to know of the untrained model."""
    return method.annotate(model, items, recipe, pad) if method.annotate and items else items


def read_rows(workspace: Workspace, dataset: DatasetVersion, split: Split) -> Iterator[Row]:
    """The rows of one split, in the order of the dataset. Raises BadConfig where the version is retired."""
    require_whole(workspace.ledger, dataset)
    for line in workspace.blobs.lines(dataset.rows):
        if line["split"] == split:
            yield Row.model_validate(line)


def machine(world: World) -> dict[str, str]:
    """What byte-equality of two runs depends on besides recipe, rows, base and seed."""
    processor = torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name()
    made = {"torch": torch.__version__, "processor": processor, "threads": str(torch.get_num_threads())}
    return made | {"processes": str(world.size)}


def processor_name() -> str:
    """The processor as the system calls it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def figures(outcome: Outcome) -> dict[str, float]:
    """What the run measured, as the model version keeps it: nothing that depends on the clock, so that an unbroken
    run and a resumed one leave the same record."""
    kept = {"steps": float(outcome.steps), "loss": outcome.loss, "tokens": float(outcome.tokens)}
    return kept | {f"validation_{name}": value for name, value in outcome.validation.items()}
