"""Our loss is the textbook's: what transformers computes from labels, and TRL from a completion mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForCausalLM

from luthier.training.method import Item
from luthier.training.sft import collate, loss
from tests.training.making import make_recipe, ready

SMALL = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "mistral": {},
    "gemma2": {"final_logit_softcapping": 2.0},  # these three change their logits behind the output layer
    "granite": {"logits_scaling": 4.0},
    "cohere": {"logit_scale": 0.25},
}


@pytest.fixture
def items(base: Path) -> tuple[Item, ...]:
    return ready(make_recipe(base)).items[:5]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(request.param, **SMALL, **MODELS[request.param])
    made = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for weight in made.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=0.2)
    return made


def labelled(items: tuple[Item, ...]) -> dict[str, torch.Tensor]:
    """The batch as collators for transformers' models make it: attention mask, and labels of -100."""
    length = max(len(item.ids) for item in items)
    shape = (len(items), length)
    ids, mask, labels = (
        torch.zeros(shape, dtype=torch.long),
        torch.zeros(shape, dtype=torch.long),
        torch.full(shape, -100),
    )
    for b, item in enumerate(items):
        here = torch.tensor(item.ids)
        ids[b, : len(here)], mask[b, : len(here)] = here, 1
        labels[b, : len(here)] = torch.where(torch.tensor(item.learnt), here, -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def gradient(model: Any, total: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    total.backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def test_as_transformers_computes_it(model: Any, items: tuple[Item, ...]) -> None:
    ours = loss(model, collate(items, pad=2))
    theirs = model(**labelled(items), use_cache=False).loss
    assert ours.terms == sum(item.targets for item in items)
    assert ours.total.item() / ours.terms == pytest.approx(theirs.item(), rel=1e-6)
    difference = gradient(model, ours.total / ours.terms) - gradient(model, theirs)
    assert difference.abs().max() < 1e-6


def test_as_trl_computes_it(model: Any, items: tuple[Item, ...]) -> None:
    """Sum of -log p over the completion's tokens, divided by their number in the whole step."""
    batch = labelled(items)
    in_step = 97  # tokens of other micro-batches count as well
    theirs = model(**batch, use_cache=False, num_items_in_batch=in_step).loss
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    shifted = cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), batch["labels"][:, 1:].flatten(), ignore_index=-100, reduction="sum"
    )
    ours = loss(model, collate(items, pad=2)).total
    assert ours.item() == pytest.approx(shifted.item(), rel=1e-6)
    assert ours.item() / in_step == pytest.approx(theirs.item(), rel=1e-6)


def test_through_an_adapter(base: Path) -> None:
    made = ready(make_recipe(base))
    theirs = made.model(**labelled(made.items[:5]), use_cache=False).loss
    ours = loss(made.model, collate(made.items[:5], pad=2))
    assert ours.total.item() / ours.terms == pytest.approx(theirs.item(), rel=1e-6)


def test_the_hook_is_gone_afterwards(model: Any, items: tuple[Item, ...]) -> None:
    loss(model, collate(items, pad=2))
    assert model(input_ids=torch.tensor([[1, 2, 3]]), use_cache=False).logits.shape == (1, 3, 384)


def test_padding_does_not_count(model: Any, items: tuple[Item, ...]) -> None:
    together = loss(model, collate(items, pad=2)).total.item()
    alone = sum(loss(model, collate([item], pad=2)).total.item() for item in items)
    assert together == pytest.approx(alone, rel=1e-6)
    assert loss(model, collate(items, pad=0)).total.item() == pytest.approx(together, rel=1e-6)


def test_padding_with_the_end_token_does_not_unlearn_it(base: Path) -> None:
    """Collators that mask labels by the pad id lose every end token where both are one."""
    made = ready(make_recipe(base))
    end = made.chat.tokenizer.eos_token_id
    batch = collate(made.items, pad=end)
    ends = sum(
        learnt and token == end for item in made.items for token, learnt in zip(item.ids, item.learnt, strict=True)
    )
    assert int((batch.targets_N == end).sum()) == ends >= len(made.items)
    assert torch.equal(batch.targets_N, collate(made.items, pad=0).targets_N)


def test_no_padding_and_no_prompt_among_the_targets(base: Path) -> None:
    made = ready(make_recipe(base))
    batch = collate(made.items, pad=5)
    learnt = [token for item in made.items for token, is_learnt in zip(item.ids, item.learnt, strict=True) if is_learnt]
    assert batch.targets_N.tolist() == learnt
    assert len(batch.predicting_N) == len(set(batch.predicting_N.tolist())) == len(learnt)
