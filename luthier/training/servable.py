"""Which engines can serve what a recipe trains, said before it is trained. Pure: it reads the recipe alone."""

from __future__ import annotations

from luthier.records.training import Recipe
from luthier.training.method import Task

LUTHIER, VLLM = "luthier", "vllm"
MOST_RANK = 512
"""The highest --max-lora-rank that vLLM takes."""
MERGE = "merge it into its base and serve that"


def served_by(recipe: Recipe, task: Task = "generate", *, lower_rank: int = 0) -> dict[str, str]:
    """By engine: nothing where it serves the result as it is written, or why it does not, with the mend.

    `lower_rank` is that of the adapter which the run trains on top of.
    """
    if task == "score":
        return dict.fromkeys((LUTHIER, VLLM), "a model that scores gives no answers: graders and training read it")
    if recipe.adapter:
        kind = {"ia3": "(IA)³", "bottleneck": "bottleneck"}.get(recipe.adapter.kind, f"{recipe.adapter.kind} tuning")
        mend = f"use lora, or {MERGE}" if recipe.adapter.kind == "ia3" else "use lora"
        return dict.fromkeys((LUTHIER, VLLM), f"{kind} adapters are not served, only LoRA is: {mend}")
    if not recipe.lora:
        return {LUTHIER: "", VLLM: ""}
    if recipe.lora.variant == "dora":
        why = (
            f"DoRA is not served as an adapter, since it is no sum of low-rank updates: {MERGE}, or use variant: plain"
        )
        return {LUTHIER: why, VLLM: why}
    rank = recipe.lora.rank * (2 if recipe.lora.variant == "pissa" else 1) + lower_rank
    too_much = f"its rank is {rank}, and --max-lora-rank goes up to {MOST_RANK}: lower lora.rank, or {MERGE}"
    heads = [name for name in named(recipe) if name.rpartition(".")[2] in ("lm_head", "embed_tokens")]
    head = f"it does not serve an adapter at {', '.join(heads)}: use targets: all-linear" if heads else ""
    return {LUTHIER: "", VLLM: head or (too_much if rank > MOST_RANK else "")}


def named(recipe: Recipe) -> tuple[str, ...]:
    """The layers that the recipe names."""
    return recipe.lora.targets if recipe.lora and isinstance(recipe.lora.targets, tuple) else ()


def warnings(recipe: Recipe, task: Task = "generate", *, lower_rank: int = 0) -> tuple[str, ...]:
    """One sentence for each engine that will not serve the result as it is written."""
    found = served_by(recipe, task, lower_rank=lower_rank)
    return tuple(f"{engine} will not serve the result: {why}" for engine, why in found.items() if why)
