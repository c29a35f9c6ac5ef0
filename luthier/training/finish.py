"""What a run leaves: the adapter (or the whole model) written, read back and compared before anybody may use it."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from luthier.errors import RunFailed
from luthier.lm import adapters
from luthier.lm.chat import Chat
from luthier.lm.load import DType, load_model
from luthier.training.checkpoint import writing
from luthier.training.method import Item

SAMPLES = 3
LONGEST_ANSWER = 96


class Checks(NamedTuple):
    """What was seen when the result was tried."""

    reload_difference: float
    """Largest difference of a logit between the trained model and the files read back."""
    stops: float
    """Share of greedy answers to training prompts that ended by themselves."""


def write(
    model: PreTrainedModel | PeftModel,
    masters: dict[str, torch.Tensor],
    folder: Path,
    chat: Chat,
    stamp: adapters.Stamp,
) -> None:
    """The files of the result: PEFT's folder, or a whole model's, float32 masters rounded to its precision."""
    with writing("the result", folder):
        if isinstance(model, PeftModel):
            adapters.write(model, masters, folder, stamp)
            return
        model.save_pretrained(folder)
        chat.tokenizer.save_pretrained(folder)
        (folder / adapters.STAMP).write_text(json.dumps(stamp._asdict(), indent=2), encoding="utf-8")


@torch.no_grad()
def check(model: PreTrainedModel | PeftModel, folder: Path, items: Sequence[Item], chat: Chat) -> Checks:
    """Read the files back and compare logits; then let the model answer a few training prompts greedily.

    Raises RunFailed where the files give other logits than the model had.
    """
    model.eval()
    chosen = sorted(items, key=lambda item: len(item.ids))[:SAMPLES]
    before = [logits(model, item) for item in chosen]
    if isinstance(model, PeftModel):
        adapters.read_into(model, folder)
    else:
        precision: DType = "float32" if model.dtype == torch.float32 else "bfloat16"
        model = load_model(folder, precision, attention=model.config._attn_implementation)
    difference = max(float((logits(model, item) - b).abs().max()) for item, b in zip(chosen, before, strict=True))
    if not difference <= 1e-3:
        raise RunFailed(
            f"the written files differ from the trained model by {difference:.2g}", "report this as a fault"
        )
    return Checks(difference, stopping(model, chosen, chat))


def logits(model: PreTrainedModel | PeftModel, item: Item) -> torch.Tensor:
    """Logits of the last position, (V,), float32."""
    out: torch.Tensor = (
        model(input_ids=torch.tensor([item.ids], device=model.device), use_cache=False).logits[0, -1].float()
    )
    return out


def stopping(model: PreTrainedModel | PeftModel, items: Sequence[Item], chat: Chat) -> float:
    """Share of `items` whose prompt the model, decoding greedily, gives an answer that ends by itself."""
    prompts = [item.ids[: item.learnt.index(True)] for item in items]
    width = max(map(len, prompts))
    pad = min(chat.stop_ids)
    ids_BT = torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts], device=model.device)
    mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=model.device)
    settings = copy.deepcopy(model.generation_config)
    settings.update(max_new_tokens=LONGEST_ANSWER, do_sample=False, use_cache=True)
    settings.update(eos_token_id=sorted(chat.stop_ids), pad_token_id=pad)
    answers_BT = model.generate(input_ids=ids_BT, attention_mask=mask_BT, generation_config=settings)[:, width:]
    return sum(not chat.stop_ids.isdisjoint(answer) for answer in answers_BT.tolist()) / len(items)
