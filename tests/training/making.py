"""What the training tests are made from: dialogues, a workspace that holds them, a recipe, and what comes of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from luthier.lm.chat import Chat
from luthier.records.data import DatasetVersion, Message, Row, SourceUse, Split
from luthier.records.training import LoraSpec, Recipe
from luthier.store.workspace import Workspace
from luthier.training import base
from luthier.training.method import Item
from luthier.training.run import Order
from luthier.training.settings import resolve
from luthier.training.sft import SFT

RUN = "run-0123456789abcdefghjkmnpqrs"
QUESTIONS = ("How do I block my card?", "What does a replacement cost?", "Is the hotline open at night, too?")
ANSWERS = ("Call the hotline at once.", "It costs 8 EUR and arrives within five working days.", "Yes, day and night.")


def dialogue(*turns: str, system: str = "", weights: Sequence[int | None] = ()) -> tuple[Message, ...]:
    """User and assistant by turns, the user first. `weights` are those of the assistant's turns."""
    messages = [Message(role="system", content=system)] if system else []
    given = iter(weights)
    for number, content in enumerate(turns):
        if number % 2:
            messages.append(Message(role="assistant", content=content, weight=next(given, None)))
        else:
            messages.append(Message(role="user", content=content))
    return tuple(messages)


def row(number: int, messages: tuple[Message, ...], split: Split = "train") -> Row:
    return Row(id=f"{split}-{number:03d}", split=split, source="made", line=number + 1, messages=messages)


def some_rows(count: int = 20, validation: int = 3) -> list[Row]:
    """Dialogues of unequal length, some of two turns, no two alike."""
    made = []
    for number in range(count + validation):
        said = [f"{QUESTIONS[number % 3]} ({number})", ANSWERS[number % 3]]
        if number % 4 == 0:
            said += [f"And on day {number}?", f"{ANSWERS[(number + 1) % 3]} Then {number} more."]
        split: Split = "train" if number < count else "validation"
        made.append(row(number, dialogue(*said, system="You are a bank." if number % 2 else ""), split))
    return made


def put_dataset(workspace: Workspace, rows: Sequence[Row]) -> str:
    """A version that holds `rows`, in the ledger; its id."""
    version = DatasetVersion(
        name="made",
        rows=workspace.blobs.put_lines(each.body() for each in rows),
        sources=(SourceUse(name="made", digest="0" * 64, licence="CC0-1.0", consent="contract", rows=len(rows)),),
        counts=dict(Counter(each.split for each in rows)),
    )
    return workspace.ledger.put(version)


def make_recipe(base: Path, **fields: Any) -> Recipe:
    """A recipe that trains in well under a second: 20 rows are 10 steps of several micro-batches."""
    small = {"lora": LoraSpec(rank=4), "learning_rate": 5e-3, "batch_rows": 4, "micro_tokens": 256, "dtype": "float32"}
    return Recipe(base=str(base), **small | {"epochs": 2, "checkpoint_every": 3, "seed": 7} | fields)


class Bench(NamedTuple):
    """A workspace folder, and what was ordered there."""

    folder: Path
    order: Order

    @property
    def run(self) -> Path:
        return self.folder / "runs" / self.order.run

    def sha(self) -> str:
        """sha256 of the weights that the run has written."""
        (weights,) = (self.run / "result").glob("*.safetensors")
        return hashlib.sha256(weights.read_bytes()).hexdigest()


def bench(folder: Path, recipe: Recipe, rows: Sequence[Row] | None = None, run: str = RUN) -> Bench:
    """A new workspace in `folder` with the dataset and the recipe, ready to be trained in."""
    with Workspace.open(folder, create=True) as workspace:
        dataset = put_dataset(workspace, some_rows() if rows is None else rows)
        return Bench(folder, Order(run, workspace.ledger.put(recipe), dataset, "made"))


class Ready(NamedTuple):
    """A model with its adapter, the renderer of its base, and prepared rows."""

    model: Any
    chat: Chat
    items: tuple[Item, ...]
    recipe: Recipe


def ready(recipe: Recipe, rows: Sequence[Row] | None = None) -> Ready:
    """Everything that the loop wants, without a ledger."""
    folder = Path(recipe.base)
    chat = Chat.load(folder)
    model = base.load(recipe, "generate")
    given = some_rows(validation=0) if rows is None else rows
    items = tuple(SFT.prepare(each, chat) for each in given)
    return Ready(model, chat, items, resolve(recipe, len(given), fast_bfloat16=False).recipe)
