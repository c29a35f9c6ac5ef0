"""What a run leaves: the adapter (or the whole model) written, read back and compared before anybody may use it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from luthier.errors import RunFailed
from luthier.lm import adapters, bottleneck
from luthier.lm.chat import Chat
from luthier.lm.load import DType
from luthier.lm.quantised import Kind, Quantised, quantise
from luthier.records.training import Recipe
from luthier.training import base, machine
from luthier.training.answering import greedy
from luthier.training.checkpoint import writing
from luthier.training.method import Item, Task

SAMPLES = 3
LONGEST_ANSWER = 96
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 6e-2}
"""Of the largest logit, or of 1 where all are smaller."""


@dataclass(frozen=True)
class Checks:
    """What was seen when the result was tried; None where it does not apply."""

    reload_difference: float
    """Largest difference of a logit between the trained model and the files read back on an untouched base."""
    merge_difference: float | None = None
    """The same between adapter and base apart, and the one merged into the other."""
    unquantised_difference: float | None = None
    """The same between the small base that it was trained on, and the whole one that it is served on."""
    stops: float | None = None
    """Share of greedy answers to training prompts that ended by themselves."""

    def figures(self) -> dict[str, float]:
        """Those that apply."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def write(
    model: PreTrainedModel | PeftModel,
    masters: dict[str, torch.Tensor],
    folder: Path,
    chat: Chat,
    stamp: adapters.Stamp,
) -> None:
    """The files of the result: PEFT's folder, or a whole model's, float32 masters rounded to its precision."""
    with writing("the result", folder):
        if isinstance(model, PeftModel) or bottleneck.is_on(model):
            adapters.write(model, masters, folder, stamp)
            return
        model.save_pretrained(folder)
        chat.tokenizer.save_pretrained(folder)
        (folder / adapters.STAMP).write_text(json.dumps(stamp._asdict(), indent=2), encoding="utf-8")


@torch.no_grad()
def check(
    model: PreTrainedModel | PeftModel, folder: Path, items: Sequence[Item], chat: Chat, task: Task = "generate"
) -> Checks:
    """Read the files back as anybody would, and compare logits (or scores); then let the model answer greedily.

    `model` is used up: its memory goes to the one that is read. Raises RunFailed where the files give other logits
    than the model had, or where the adapter says something else once it is merged.
    """
    model.eval()
    chosen = sorted(items, key=lambda item: len(item.ids))[:SAMPLES]
    before = [logits(model, item) for item in chosen]
    small = next((layer.kind for layer in model.modules() if isinstance(layer, Quantised)), None)
    reader = Reader(model, folder, task)
    model.to("meta")
    machine.give_back()
    again = reader.read()
    seen = [logits(again, item) for item in chosen]
    alike = seen
    if small:
        kept_small = reader.read(small)
        alike = [logits(kept_small, item) for item in chosen]
    reloaded = same(before, alike, reader.dtype, "the written files")
    unquantised = apart(before, seen) if small else None
    stops = stopping(again, chosen, chat) if task == "generate" else None
    merged = None
    if isinstance(again, PeftModel) and hasattr(again.base_model, "merge_and_unload"):
        whole = adapters.merged(again)
        merged = same(seen, [logits(whole, item) for item in chosen], reader.dtype, "base and adapter merged")
    return Checks(reloaded, merged, unquantised, stops)


class Reader:
    """Reads the result in `folder` as `model` was: on its base, in its precision."""

    def __init__(self, model: PreTrainedModel | PeftModel, folder: Path, task: Task) -> None:
        self.folder, self.task, self.dtype = folder, task, model.dtype
        self.base = Path(model.config.name_or_path)
        self.attention: str = model.config._attn_implementation

    def read(self, small: Kind | None = None) -> PreTrainedModel | PeftModel:
        """The whole model, or base and adapter; the base kept small where `small` says how."""
        precision: DType = "float32" if self.dtype == torch.float32 else "bfloat16"
        if not adapters.is_adapter(self.folder):
            return base.read(self.folder, precision, self.task, self.attention)
        whole = base.read(self.base, precision, self.task, self.attention)
        model = adapters.read_onto(whole, self.folder).eval()
        if small:
            quantise(model, small)
        return model


def apart(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    """The largest difference."""
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


def same(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor], dtype: torch.dtype, what: str) -> float:
    """The largest difference. Raises RunFailed where it is more than rounding explains."""
    difference = apart(one, other)
    if not difference <= TOLERANCE.get(dtype, 6e-2) * max(1.0, *(float(logits_V.abs().max()) for logits_V in one)):
        raise RunFailed(f"{what} differ from the trained model by {difference:.2g}", "report this as a fault")
    return difference


def require_moved(recipe: Recipe, task: Task, under: Path | None, masters: dict[str, torch.Tensor], steps: int) -> None:
    """Raise RunFailed where a tensor was to be trained and is what it was at the start."""
    if steps < 2:  # the first update of a LoRA moves B alone: A has no gradient as long as B is 0
        return
    fresh = base.load(recipe, task, under)
    first = {name: p.detach().float() for name, p in fresh.named_parameters() if p.requires_grad}
    still = [name for name, master in masters.items() if torch.equal(first[name], master)]
    if still:
        raise RunFailed(
            f"{len(still)} of {len(masters)} trained tensors are what they were before, the first is {still[0]}",
            "raise learning_rate, take more steps, or choose other lora targets",
        )


def logits(model: PreTrainedModel | PeftModel, item: Item) -> torch.Tensor:
    """Logits of the last position, (V,), or the scores of a model that has a head for them; float32."""
    ids_1T = torch.tensor([item.ids], device=model.device)
    out: torch.Tensor = model(input_ids=ids_1T, use_cache=False).logits[0]
    return (out[-1] if out.dim() == 2 else out).float().cpu()


def stopping(model: PreTrainedModel | PeftModel, items: Sequence[Item], chat: Chat) -> float:
    """Share of `items` whose prompt the model, decoding greedily, gives an answer that ends by itself."""
    answers = greedy(model, [item.ids[: item.learnt.index(True)] for item in items], chat, LONGEST_ANSWER)
    return sum(answer[-1] in chat.stop_ids for answer in answers) / len(items)
