"""What a run will take, before it begins: the project's rows and a recipe in, figures and their price out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from luthier.errors import Missing
from luthier.records.data import DatasetVersion, Row
from luthier.records.training import Recipe
from luthier.workflows.session import Session

if TYPE_CHECKING:
    from luthier.training.estimate import Estimate

CPU_WATTS = 120.0
"""What a machine without a GPU is taken to draw under load."""
IDLE_WATTS = 150.0
"""What the machine around a GPU is taken to draw."""
PRICE = 0.25
"""Of a kilowatt-hour, in whatever currency the reader thinks in."""


class Prices(NamedTuple):
    """What electricity and the machine cost, where the reader knows better than the defaults."""

    watts: float | None = None
    kilowatt_hour: float = PRICE
    hour: float = 0.0
    """Rent of the machine."""


class Quote(NamedTuple):
    """An estimate and its price."""

    recipe: Recipe
    reasons: tuple[str, ...]
    found: Estimate
    watts: float
    kilowatt_hours: float
    cost: float


def quote(session: Session, asked: Recipe, dataset: str | None, on: str | None, prices: Prices) -> Quote:
    """The estimate for `asked` on a dataset (default: the newest), here or on the GPU called `on`."""
    from luthier.lm.chat import Chat
    from luthier.lm.load import has_fast_bfloat16
    from luthier.lm.pull import local
    from luthier.training import estimate, machine
    from luthier.training.method import chosen
    from luthier.training.settings import Room, resolve

    rows = training_rows(session, newest(session, dataset))
    method = chosen(asked)
    sheet = estimate.gpu(on) if on else None
    items = estimate.sample(rows, method, Chat.load(local(asked.base)), asked)
    gpu = sheet is not None or machine.has_gpu()
    limit = int(estimate.ROOM * (sheet.memory * 2**30 if sheet else machine.memory()))
    resolved = resolve(
        asked,
        len(rows),
        fast_bfloat16=sheet is not None or has_fast_bfloat16(),
        gpu=gpu,
        factor=method.rate,
        room=Room(lambda recipe: estimate.memory(recipe, items, on_gpu=gpu).total, limit),
    )
    found = estimate.estimate(resolved.recipe, items, on)
    watts = prices.watts or (sheet.watts + IDLE_WATTS if sheet else CPU_WATTS)
    hours = found.pace.seconds / 3600
    used = watts * hours / 1000
    cost = used * prices.kilowatt_hour + hours * prices.hour
    return Quote(resolved.recipe, resolved.reasons, found, watts, used, cost)


def newest(session: Session, dataset: str | None) -> str:
    """The id of a dataset: the one asked for, or the newest. Raises Missing where there is none."""
    ledger = session.workspace.ledger
    if dataset:
        return ledger.find(dataset)
    if not (known := ledger.ls("dataset", 1)):
        raise Missing("there is no dataset to train on", "build one first: luthier data build")
    assert isinstance(known[0], DatasetVersion)
    return known[0].id


def training_rows(session: Session, dataset: str) -> list[Row]:
    """The training rows of a dataset version."""
    version = session.workspace.ledger.get(dataset, DatasetVersion)
    lines = session.workspace.blobs.lines(version.rows)
    return [Row.model_validate(line) for line in lines if line["split"] == "train"]


def spelled(quoted: Quote) -> str:
    """The estimate as people read it."""
    found, needed = quoted.found, quoted.found.memory
    parts = (
        f"process {giga(needed.process)}, weights {giga(needed.weights)}, "
        f"what is trained {giga(needed.trained)}, activations {giga(needed.activations)}"
    )
    lines = [
        *quoted.reasons,
        f"memory    {giga(needed.total)} of {giga(found.limit)} on {found.device} ({parts})",
        f"time      {spelled_time(found.pace.seconds)} for {found.steps} steps, {found.tokens:,} tokens "
        f"({found.tokens / found.pace.seconds:,.0f} a second, {found.pace.utilisation:.0%} of the device's products)",
        f"energy    {quoted.kilowatt_hours:.3f} kWh at {quoted.watts:.0f} W; cost {quoted.cost:.2f}",
    ]
    if not found.fits:
        lines.append(f"It does not fit: {', and '.join(found.advice)}.")
    return "\n".join(lines)


def giga(size: float) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.2f} GB"


def spelled_time(seconds: float) -> str:
    """A duration for people."""
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
