"""What `auto` means: each value is resolved by a rule that is printed with its reason, and kept in the run's recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from luthier.records.training import Recipe

RATES = {"ia3": 5e-3, "prefix": 1e-2, "prompt": 3e-2}
"""What `auto` takes where few numbers are learnt: these take large steps."""


class Resolved(NamedTuple):
    """A recipe without `auto`, and one sentence for each value that was chosen."""

    recipe: Recipe
    reasons: tuple[str, ...]


class Room(NamedTuple):
    """What memory is asked about: bytes that a resolved recipe needs, and bytes that this machine has."""

    needs: Callable[[Recipe], int]
    limit: int
    """Of the whole machine and not what happens to be free: a run that is taken up again decides the same."""


def resolve(
    recipe: Recipe,
    rows: int,
    *,
    fast_bfloat16: bool,
    gpu: bool = False,
    factor: float = 1.0,
    room: Room | None = None,
) -> Resolved:
    """`recipe` for a dataset of `rows` training rows on this machine; the method multiplies the rate by `factor`.

    Without `room` it stays open whether activations are computed twice, and they are not.
    """
    chosen: dict[str, object] = {}
    reasons: list[str] = []

    def choose(field: str, value: object, why: str) -> None:
        chosen[field] = value
        reasons.append(f"{field} {f'{value:g}' if isinstance(value, float) else value}: {why}")

    if str(recipe.epochs) == "auto":
        choose("epochs", *epochs_for(rows))
    if recipe.learning_rate == "auto":
        adapter = recipe.lora or recipe.adapter
        why = "an adapter takes about ten times the rate of full training" if adapter else "every weight moves"
        why += "" if factor == 1 else f"; {recipe.method} takes {factor:g} of it"
        usual = RATES.get(recipe.adapter.kind, 1e-3) if recipe.adapter else 1e-3 if adapter else 1e-4
        choose("learning_rate", usual * factor, why)
    if recipe.batch_rows == "auto":
        # A few hundred rows want many small steps; large sets afford smoother gradients.
        size = 4 if rows < 600 else 8 if rows < 4000 else 32
        choose("batch_rows", size, f"{rows} rows make {max(rows // size, 1)} steps an epoch")
    if recipe.micro_tokens == "auto":
        # Measured on two cores: 2048 tokens run a fifth slower than 768 and take twice the memory.
        why = "a GPU wants large products" if gpu else "small batches pad less and stay in the processor's caches"
        choose("micro_tokens", 8192 if gpu else 768, why)
    if recipe.dtype == "auto":
        native = "multiplies" if fast_bfloat16 else "does not multiply"
        choose("dtype", "bfloat16" if fast_bfloat16 else "float32", f"this machine {native} bfloat16 natively")
    if recipe.recompute == "auto" and room:
        settled = recipe.model_copy(update=chosen | {"recompute": False})
        choose("recompute", *recompute_for(settled, room))
    return Resolved(recipe.model_copy(update=chosen), tuple(reasons))


ENOUGH = 1500
"""Looks at rows after which a run has seen what its rows can teach; more of few rows is learning by heart."""


def epochs_for(rows: int) -> tuple[int, str]:
    """How often each row is seen, and why."""
    times = min(4, max(1, round(ENOUGH / max(rows, 1))))
    return times, f"{rows} rows are seen {times * rows} times in all; about {ENOUGH} are enough, and 4 epochs the most"


def recompute_for(recipe: Recipe, room: Room) -> tuple[bool, str]:
    """Whether activations are computed twice, and why. `recipe` says that they are not."""
    needed = room.needs(recipe)
    said = f"the run needs {needed / 1e9:.1f} GB without, and the machine has {room.limit / 1e9:.1f} GB"
    return needed > room.limit, said
