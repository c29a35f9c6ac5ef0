"""One training run from the ledger to the ledger: Recipe + DatasetVersion in, ModelVersion out.

Knows nothing of how the rows were made or where the model will serve. Started again with the same run id it goes on
from its newest checkpoint, or returns the model that it finished with.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from luthier import __version__, plugins
from luthier.lm import adapters
from luthier.lm.chat import Chat
from luthier.lm.load import has_fast_bfloat16, load_model
from luthier.lm.pull import folder_digest, local
from luthier.progress import Progress, silent
from luthier.records.data import DatasetVersion, Row, Split
from luthier.records.training import ModelVersion, Recipe, Run
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

    Raises BadData or BadConfig from the pre-flight, RunFailed at the first number that is not finite, NoRoom.
    """
    ledger = workspace.ledger
    for event in ledger.events(subject=order.run, verb="finished"):
        return ledger.get(event.body["model"], ModelVersion)
    dataset = ledger.get(order.dataset, DatasetVersion)
    rows = list(read_rows(workspace, dataset, "train"))
    asked = ledger.get(order.recipe, Recipe)
    resolved = resolve(asked, len(rows), has_fast_bfloat16())
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
    ledger.put(run)
    ledger.tell(run.id, "started", {"reasons": list(resolved.reasons)})
    work, chat, found = get_ready(workspace, run, recipe, base, method)
    ledger.tell(run.id, "checked", {"tokens": found.ledger._asdict(), "trainable": found.trainable})
    outcome = train(work, progress)
    folder = work.folder / "result"
    stamp = adapters.Stamp(run.base_digest, chat.template_digest, chat.tokenizer_digest)
    finish.write(work.model, outcome.masters, folder, stamp)
    checks = finish.check(work.model, folder, work.items, chat)
    model = ModelVersion(
        name=order.name,
        base=recipe.base,
        base_digest=run.base_digest,
        template_digest=chat.template_digest,
        tokenizer_digest=chat.tokenizer_digest,
        files={path.name: workspace.blobs.put_file(path) for path in sorted(folder.iterdir())},
        run=run.id,
        dataset=dataset.id,
        rank=recipe.lora.rank if recipe.lora else None,
        figures=figures(outcome) | checks._asdict(),
    )
    ledger.put(model)
    metrics = workspace.blobs.put_file(work.folder / METRICS)
    ledger.tell(run.id, "finished", {"model": model.id, "metrics": metrics, "seconds": round(outcome.seconds, 1)})
    return model


class Found(NamedTuple):
    """What the pre-flight saw."""

    ledger: preflight.Ledger
    trainable: int


def get_ready(workspace: Workspace, run: Run, recipe: Recipe, base: Path, method: Method) -> tuple[Work, Chat, Found]:
    """Load the base, put the adapter on, prepare the rows, and refuse what would fail silently."""
    dataset = workspace.ledger.get(run.dataset, DatasetVersion)
    chat = Chat.load(base)
    # On a CPU the fused attention's backward pass is several times slower than plain products at these lengths.
    plain = not torch.cuda.is_available() and recipe.max_length <= 2048
    model = load_model(base, recipe.dtype, attention="eager" if plain else "sdpa")
    if recipe.lora:
        model = adapters.put_on(model, recipe.lora, recipe.seed)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    rows = list(read_rows(workspace, dataset, "train"))
    held_out = list(read_rows(workspace, dataset, "validation"))[:MOST_VALIDATION_ROWS]
    preflight.check_overlap(rows, held_out)
    prepared = preflight.prepare(rows, method, chat, recipe, vocabulary)
    validation = preflight.prepare(held_out, method, chat, recipe, vocabulary).items if held_out else ()
    trainable = preflight.check_model(model, recipe)
    folder = workspace.folder / "runs" / run.id
    folder.mkdir(parents=True, exist_ok=True)
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
    """The rows of one split, in the order of the dataset."""
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
