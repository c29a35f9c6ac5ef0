"""Greedy answers to several prompts at once, while a model trains or when it is done. Knows nothing of marks."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from luthier.lm.chat import Chat

TOGETHER = 16
"""Prompts that are answered in one batch."""


@torch.no_grad()
def greedy(
    model: PreTrainedModel | PeftModel, prompts: Sequence[Sequence[int]], chat: Chat, longest: int
) -> list[list[int]]:
    """The ids of the answer to each prompt, at most `longest`, through the first that stops generation if any does."""
    model.eval()
    # PEFT takes no position ids beside a learnt prompt, and those of padded rows would be wrong.
    soft = isinstance(model, PeftModel) and model.active_peft_config.is_prompt_learning
    together = 1 if soft else TOGETHER
    return [
        answer
        for start in range(0, len(prompts), together)
        for answer in batch(model, prompts[start : start + together], chat, longest)
    ]


def batch(
    model: PreTrainedModel | PeftModel, prompts: Sequence[Sequence[int]], chat: Chat, longest: int
) -> list[list[int]]:
    """The same for prompts that go through the model together, padded on the left."""
    width = max(map(len, prompts))
    pad = min(chat.stop_ids)
    ids_BT = torch.tensor([[pad] * (width - len(ids)) + [*ids] for ids in prompts], device=model.device)
    mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=model.device)
    settings = copy.deepcopy(model.generation_config)
    settings.update(max_new_tokens=longest, do_sample=False, use_cache=True)
    settings.update(eos_token_id=sorted(chat.stop_ids), pad_token_id=pad)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Position ids are not supported")
        answers_BT = model.generate(input_ids=ids_BT, attention_mask=mask_BT, generation_config=settings)[:, width:]
    return [until_stop(answer, chat.stop_ids) for answer in answers_BT.tolist()]


def until_stop(ids: list[int], stops: frozenset[int]) -> list[int]:
    """`ids` through the first that stops generation."""
    at = next((t for t, token in enumerate(ids) if token in stops), len(ids) - 1)
    return ids[: at + 1]
