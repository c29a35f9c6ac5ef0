"""The model that a run begins with: the base, what it was trained with before, and a fresh adapter on top.

Knows nothing of rows, methods and steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from luthier.errors import BadConfig
from luthier.lm import adapters, bottleneck, levels, quantised, vectors
from luthier.lm.attention import for_training
from luthier.lm.chat import Chat
from luthier.lm.load import DType, load_model
from luthier.lm.pull import folder_digest, local
from luthier.records.training import BottleneckSpec, ModelVersion, Recipe
from luthier.store.workspace import Workspace
from luthier.training.method import Task


def below(workspace: Workspace, on_top_of: str | None, folder: Path) -> Path | None:
    """The folder of the model that the run trains on top of, fetched below `folder`; None where there is none."""
    if on_top_of is None:
        return None
    there = folder / "below"
    for name, digest in workspace.ledger.get(on_top_of, ModelVersion).files.items():
        workspace.blobs.fetch(digest, there / name)
    return there


def with_trained(model: PreTrainedModel, masters: Mapping[str, torch.Tensor]) -> PreTrainedModel:
    """`model` with trained tensors, by name, in its own precision."""
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if name in masters:
                weights.copy_(masters[name])
    return model


def load(recipe: Recipe, task: Task, under: Path | None = None) -> PreTrainedModel:
    """The base as the recipe asks for it, with its fresh adapter, ready to train.

    `under` holds what the run trains on top of: an adapter goes below the new one, frozen, or into the weights where
    every weight is trained; a whole model takes the place of the base. Raises BadConfig where it was made for another
    base, or cannot lie below.
    """
    model = adapted(recipe, task, under)
    if recipe.recompute is True:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def adapted(recipe: Recipe, task: Task, under: Path | None) -> PreTrainedModel:
    """The same, with whatever memory it takes."""
    require_fitting(recipe, task)
    lower = lying_below(recipe, under)
    model = bare(recipe, task, under, merge=lower is not None and not adapts(recipe))
    if recipe.lora:
        tuned = adapters.put_on(model, recipe.lora, recipe.seed, task=task, lower=lower)
        if recipe.quantised != "none":
            quantised.quantise(tuned, recipe.quantised)
        return tuned
    if isinstance(recipe.adapter, BottleneckSpec):
        return bottleneck.put_on(model, recipe.adapter, recipe.seed)
    if recipe.adapter:
        return vectors.put_on(model, recipe.adapter, recipe.seed, local(recipe.base))
    return model


def adapts(recipe: Recipe) -> bool:
    """Whether an adapter is trained, and not every weight."""
    return bool(recipe.lora or recipe.adapter)


def ground(recipe: Recipe, under: Path | None = None) -> Path:
    """The folder whose weights the result rests on: a whole model below, or the recipe's base."""
    return under if under and not adapters.is_adapter(under) else local(recipe.base)


def bare(recipe: Recipe, task: Task, under: Path | None = None, *, merge: bool = False) -> PreTrainedModel:
    """The base alone; with `merge`, the adapter in `under` has gone into its weights."""
    folder = ground(recipe, under)
    attention = for_training(folder, recipe.max_length)
    precision: DType = "float32" if merge else recipe.dtype  # added up first and rounded once
    model = read(folder, precision, task, attention)
    if not merge or under is None:
        return model
    whole = adapters.merged(PeftModel.from_pretrained(model, under)).requires_grad_(True)
    return whole.to(torch.float32 if recipe.dtype == "float32" else torch.bfloat16)


def read(folder: Path, dtype: DType, task: Task, attention: str) -> PreTrainedModel:
    """The model in `folder`, with the head that the task wants."""
    if task == "score":
        from luthier.lm.scored import load_scored

        scored: PreTrainedModel = load_scored(folder, dtype, attention=attention)
        return scored
    return load_model(folder, dtype, attention=attention)


def lying_below(recipe: Recipe, under: Path | None) -> dict[str, levels.Pair] | None:
    """The adapter in `under`, or None where there is none; checked to have been made for this base."""
    if under is None:
        return None
    folder = local(recipe.base)
    stamp, chat = adapters.read_stamp(under), Chat.load(folder)
    ours = adapters.Stamp(folder_digest(folder), chat.template_digest, chat.tokenizer_digest)
    if stamp != ours:
        what = next((f for f, a, b in zip(ours._fields, ours, stamp, strict=True) if a != b), "") if stamp else ""
        said = f"has another {what.removesuffix('_digest')}" if stamp else "does not say which base it was made for"
        raise BadConfig(
            f"what the run trains on top of {said} than {recipe.base}" if stamp else f"the lower model {said}",
            "name the base that it was trained on, or leave on_top_of out",
        )
    if not adapters.is_adapter(under):
        return None
    if recipe.adapter:
        raise BadConfig(
            f"a {recipe.adapter.kind} adapter cannot be trained on top of another adapter",
            "use lora, which adds up with the lower one, or train on the untouched base",
        )
    return levels.read(under)


def require_fitting(recipe: Recipe, task: Task) -> None:
    """Refuse what an adapter's kind cannot do. Raises BadConfig."""
    if recipe.adapter and task == "score":
        raise BadConfig(
            f"a {recipe.adapter.kind} adapter has no head that scores", "use lora, or lora: null, for a reward model"
        )
    if recipe.adapter and recipe.adapter.kind in ("prefix", "prompt"):
        for asked, what in ((recipe.packing, "packing"), (recipe.recompute is True, "recompute")):
            if asked:
                raise BadConfig(
                    f"{what} does not go together with a {recipe.adapter.kind} adapter: "
                    "its learnt positions stand in front of a single row",
                    f"leave {what} out, or use lora",
                )
