"""Rows of one batch do not see each other: packed or padded, the logits are those of the row alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PromptTuningConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from luthier.errors import BadConfig
from luthier.lm.load import load_model
from luthier.training import isolation, preflight
from luthier.training.method import Item
from luthier.training.sft import SFT, collate, loss, pack
from tests.training.making import Ready, make_recipe, ready


@pytest.fixture(scope="module")
def made(base: Path) -> Ready:
    return ready(make_recipe(base, packing=True))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_packed_is_alone(base: Path, made: Ready, attention: str, dtype: Any) -> None:
    isolation.check(load_model(base, dtype, attention=attention), made.items[:2], 0, packed=True)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_packed_batch_has_the_loss_and_the_gradient_of_a_padded_one(base: Path, made: Ready, attention: str) -> None:
    model = load_model(base, "float32", attention=attention)
    seen = []
    for layout in (collate, pack):
        model.zero_grad()
        found = loss(model, layout(made.items[:5], 0))
        found.total.backward()
        seen.append((found.total.item(), found.terms, model.model.layers[0].self_attn.q_proj.weight.grad.clone()))
    assert seen[0][0] == pytest.approx(seen[1][0], rel=1e-6)
    assert seen[0][1] == seen[1][1]
    assert torch.allclose(seen[0][2], seen[1][2], atol=1e-4)


def test_a_packed_batch_holds_no_padding(made: Ready) -> None:
    batch = pack(made.items[:3], 0)
    assert batch.ids_BT.tolist() == [[token for item in made.items[:3] for token in item.ids]]
    assert batch.positions_BT.tolist() == [[t for item in made.items[:3] for t in range(len(item.ids))]]
    assert len(batch.targets_N) == sum(item.targets for item in made.items[:3])
    assert batch.rows == tuple(item.row for item in made.items[:3])


class Leaky(torch.nn.Module):
    """A model that is given a mask of ones where ours gives none: transformers then takes packed rows for one."""

    def __init__(self, model: Any, **forced: Any) -> None:
        super().__init__()
        self.inner, self.forced, self.device = model, forced, model.device
        self.get_input_embeddings = model.get_input_embeddings

    def forward(self, **given: Any) -> Any:
        if "attention_mask" in self.forced:
            given["attention_mask"] = torch.ones_like(given["input_ids"])
        return self.inner(**given | {k: v for k, v in self.forced.items() if k != "attention_mask"})


@pytest.mark.parametrize("forced", [{"attention_mask": 1}, {"use_cache": True}], ids=["mask", "cache"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_contamination_is_refused(base: Path, made: Ready, forced: dict[str, Any], dtype: Any) -> None:
    model = Leaky(load_model(base, dtype), **forced)
    isolation.check(model, made.items[:2], 0, packed=False)
    with pytest.raises(BadConfig, match=r"when another is packed before it: say packing: false"):
        isolation.check(model, made.items[:2], 0, packed=True)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_soft_prompt_drops_the_positions_and_is_refused(base: Path, made: Ready) -> None:
    spec = PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    model = get_peft_model(load_model(base, "float32"), spec)
    isolation.check(model, made.items[:2], 0, packed=False)
    with pytest.raises(BadConfig, match="packing: false"):
        isolation.check(model, made.items[:2], 0, packed=True)


def test_padding_that_is_seen_is_refused(base: Path, made: Ready) -> None:
    """A model whose tokens see the whole row at once: there, padding needs a mask that ours does not give."""

    class Blurred(Leaky):
        def forward(self, **given: Any) -> Any:
            out = self.inner(**given)
            out.logits = out.logits + out.logits.mean(1, keepdim=True)
            return out

    with pytest.raises(BadConfig, match="when a longer row goes beside it: set micro_tokens: 16"):
        isolation.check(Blurred(load_model(base, "float32")), made.items[:2], 0, packed=False)


def test_the_preflight_asks_for_it(base: Path, made: Ready, educated: Path) -> None:
    with pytest.raises(BadConfig, match="packing: false"):
        preflight.check_company(Leaky(load_model(base, "float32"), use_cache=True), made.items, made.recipe, 0)
    assert preflight.check_company(load_model(educated, "float32"), made.items, made.recipe, 0) == ()


def test_a_base_that_guesses_is_named(made: Ready) -> None:
    """Weights of another family with the same number of tokens: nothing else would show it."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=384, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    other = LlamaForCausalLM(config)
    torch.nn.init.normal_(other.lm_head.weight, std=1.0)
    said = isolation.guesses(other, made.items)
    assert said
    assert "do its weights and its tokenizer belong together?" in said


def test_packed_training_falls_as_padded_training_does(made: Ready, base: Path) -> None:
    fresh = ready(make_recipe(base))
    items: list[Item] = list(fresh.items)
    preflight.probe(fresh.model, SFT._replace(collate=pack), items, fresh.recipe, 0)
