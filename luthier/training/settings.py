"""What `auto` means: each value is resolved by a rule that is printed with its reason, and kept in the run's recipe."""

from __future__ import annotations

from typing import NamedTuple

from luthier.records.training import Recipe


class Resolved(NamedTuple):
    """A recipe without `auto`, and one sentence for each value that was chosen."""

    recipe: Recipe
    reasons: tuple[str, ...]


def resolve(recipe: Recipe, rows: int, *, fast_bfloat16: bool, gpu: bool = False) -> Resolved:
    """`recipe` for a dataset of `rows` training rows on this machine."""
    chosen: dict[str, object] = {}
    reasons: list[str] = []
    if recipe.learning_rate == "auto":
        rate = 1e-3 if recipe.lora else 1e-4
        chosen["learning_rate"] = rate
        why = "an adapter takes about ten times the rate of full training" if recipe.lora else "every weight moves"
        reasons.append(f"learning_rate {rate:g}: {why}")
    if recipe.batch_rows == "auto":
        # A few hundred rows want many small steps; large sets afford smoother gradients.
        size = 4 if rows < 600 else 8 if rows < 4000 else 32
        chosen["batch_rows"] = size
        reasons.append(f"batch_rows {size}: {rows} rows make {max(rows // size, 1)} steps an epoch")
    if recipe.micro_tokens == "auto":
        # Measured on two cores: 2048 tokens run a fifth slower than 768 and take twice the memory.
        tokens = 8192 if gpu else 768
        chosen["micro_tokens"] = tokens
        why = "a GPU wants large products" if gpu else "small batches pad less and stay in the processor's caches"
        reasons.append(f"micro_tokens {tokens}: {why}")
    if recipe.dtype == "auto":
        chosen["dtype"] = "bfloat16" if fast_bfloat16 else "float32"
        native = "multiplies" if fast_bfloat16 else "does not multiply"
        reasons.append(f"dtype {chosen['dtype']}: this machine {native} bfloat16 natively")
    return Resolved(recipe.model_copy(update=chosen), tuple(reasons))
