"""One training run from the ledger to the ledger: Recipe + DatasetVersion in, ModelVersion out.

Knows nothing of how the rows were made or where the model will serve. Started again with the same run id it goes on
from its newest checkpoint, or returns the model that it finished with.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from luthier import __version__, plugins
from luthier.errors import BadConfig, LuthierError, NoRoom, as_dict
from luthier.lm import adapters
from luthier.lm.catalogue import licence_of
from luthier.lm.chat import Chat
from luthier.lm.load import has_fast_bfloat16, load_model
from luthier.lm.pull import folder_digest, local
from luthier.progress import Progress, silent
from luthier.records.data import DatasetVersion, Row, Split
from luthier.records.training import ModelVersion, Recipe, Run
from luthier.store import lock
from luthier.store.erasure import require_whole
from luthier.store.ledger import Ledger
from luthier.store.workspace import Workspace
from luthier.training import finish, preflight
from luthier.training.loop import METRICS, Outcome, Work, train
from luthier.training.method import Method
from luthier.training.settings import resolve

MOST_VALIDATION_ROWS = 16


class Order(NamedTuple):
    """What to train: ids of records in the ledger, and the name of the model to be made."""

    run: str
    recipe: str
    dataset: str
    name: str


def execute(workspace: Workspace, order: Order, progress: Progress = silent) -> ModelVersion:
    """Train what `order` asks for and record the model. A finished run returns its model and does nothing.

    Raises BadData or BadConfig from the pre-flight, RunFailed at the first number that is not finite, NoRoom, and Busy
    where another process is at this run.
    """
    ledger = workspace.ledger
    for event in ledger.events(subject=order.run, verb="finished"):
        return ledger.get(event.body["model"], ModelVersion)
    dataset = ledger.get(order.dataset, DatasetVersion)
    rows = list(read_rows(workspace, dataset, "train"))
    asked = ledger.get(order.recipe, Recipe)
    resolved = resolve(asked, len(rows), fast_bfloat16=has_fast_bfloat16(), gpu=torch.cuda.is_available())
    recipe = resolved.recipe
    base = local(recipe.base)
    method: Method = plugins.find("method", recipe.method)
    run = Run(
        id=order.run,
        recipe=ledger.put(recipe),
        dataset=dataset.id,
        base_digest=folder_digest(base),
        machine=machine(),
        code=f"luthier {__version__}; {recipe.method}: {plugins.version('method', recipe.method)}",
    )
    begin(ledger, run)
    folder = workspace.folder / "runs" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    with lock.held(folder / "lock", f"training {run.id}"):
        ledger.tell(run.id, "started", {"reasons": list(resolved.reasons)})
        try:
            model = carry_out(workspace, run, order.name, method, progress)
        except LuthierError as error:
            with contextlib.suppress(NoRoom):  # which may be the very error
                ledger.tell(run.id, "failed", as_dict(error))
            raise
    return model


def carry_out(workspace: Workspace, run: Run, name: str, method: Method, progress: Progress) -> ModelVersion:
    """Everything from the pre-flight to the finished model."""
    ledger = workspace.ledger
    recipe = ledger.get(run.recipe, Recipe)
    work, chat, found = get_ready(workspace, run, recipe, method)
    ledger.tell(run.id, "checked", {"tokens": found.ledger._asdict(), "trainable": found.trainable})
    outcome = train(work, progress)
    folder = work.folder / "result"
    stamp = adapters.Stamp(run.base_digest, chat.template_digest, chat.tokenizer_digest)
    finish.write(work.model, outcome.masters, folder, chat, stamp)
    checks = finish.check(work.model, folder, work.items, chat)
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
        rank=recipe.lora.rank if recipe.lora else None,
        figures=figures(outcome) | checks._asdict(),
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
    own = {"dataset": run.dataset, "base_digest": run.base_digest, "code": run.code}
    return ledger.get(run.recipe, Recipe).model_dump(mode="json") | run.machine | own


class Found(NamedTuple):
    """What the pre-flight saw."""

    ledger: preflight.Ledger
    trainable: int


def get_ready(workspace: Workspace, run: Run, recipe: Recipe, method: Method) -> tuple[Work, Chat, Found]:
    """Load the base, put the adapter on, prepare the rows, and refuse what would fail silently."""
    base = local(recipe.base)
    dataset = workspace.ledger.get(run.dataset, DatasetVersion)
    chat = Chat.load(base)
    # On a CPU the fused attention's backward pass is several times slower than plain products at these lengths.
    plain = not torch.cuda.is_available() and recipe.max_length <= 2048
    model = load_model(base, recipe.dtype, attention="eager" if plain else "sdpa")
    if recipe.lora:
        model = adapters.put_on(model, recipe.lora, recipe.seed)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    rows = list(read_rows(workspace, dataset, "train"))
    held_out = list(read_rows(workspace, dataset, "validation"))
    preflight.check_overlap(rows, held_out)
    prepared = preflight.prepare(rows, method, chat, recipe, vocabulary)
    tried = held_out[:MOST_VALIDATION_ROWS]
    validation = preflight.prepare(tried, method, chat, recipe, vocabulary).items if tried else ()
    trainable = preflight.check_model(model, recipe)
    folder = workspace.folder / "runs" / run.id
    preflight.check_disk(folder, trainable)
    pad = min(chat.stop_ids)
    fingerprint = {
        "recipe": run.recipe,
        "dataset": run.dataset,
        "base": run.base_digest,
        "template": chat.template_digest,
        "tokenizer": chat.tokenizer_digest,
        **run.machine,
    }
    preflight.probe(model, method, prepared.items, recipe, pad)
    work = Work(model, method, recipe, prepared.items, validation, pad, folder, fingerprint)
    return work, chat, Found(prepared.ledger, trainable)


def read_rows(workspace: Workspace, dataset: DatasetVersion, split: Split) -> Iterator[Row]:
    """The rows of one split, in the order of the dataset. Raises BadConfig where the version is retired."""
    require_whole(workspace.ledger, dataset)
    for line in workspace.blobs.lines(dataset.rows):
        if line["split"] == split:
            yield Row.model_validate(line)


def machine() -> dict[str, str]:
    """What byte-equality of two runs depends on besides recipe, rows, base and seed."""
    processor = torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name()
    return {"torch": torch.__version__, "processor": processor, "threads": str(torch.get_num_threads())}


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
    return kept | ({"validation_loss": outcome.validation_loss} if outcome.validation_loss is not None else {})
