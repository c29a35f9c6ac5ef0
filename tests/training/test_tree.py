"""Two answers behind one prompt get what each would get alone, in every kind of model, or go through it apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from luthier.training.logprobs import logprobs
from luthier.training.method import Item
from luthier.training.sharing import inputs, may_share, view
from luthier.training.tree import apart, lay_out, only
from tests.golden.test_loss import SMALL

MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "mistral": {"sliding_window": 4096},
    "gemma2": {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 5.0, "sliding_window": 4096},
    "gemma3_text": {"sliding_window": 4096},
    "granite": {"logits_scaling": 4.0},
    "phi3": {},
    "gpt_neox": {},
}


def made(name: str, attention: str = "eager", **fields: Any) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **SMALL, **MODELS.get(name, {}) | fields)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    for weight in model.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=0.2)
    return model.eval()


def item(row: str, prompt: int, *answers: int, seed: int = 0) -> Item:
    """Random ids; the first token of each answer is context, as where a template says who speaks."""
    drawn = torch.randint(0, 384, (prompt + sum(answers),), generator=torch.Generator().manual_seed(seed)).tolist()
    starts, at = [], prompt
    for answer in answers:
        starts.append(at)
        at += answer
    learnt = [t >= prompt and t not in starts[1:] for t in range(at)]
    return Item(row, drawn, learnt, tuple(starts))


ITEMS = [item("a", 9, 5, 7), item("b", 3, 12, 2, seed=1), item("c", 14, 1, 4, 6, seed=2), item("d", 5, 8, seed=3)]


@pytest.mark.parametrize(("name", "attention"), [*((name, "eager") for name in MODELS), ("llama", "sdpa")])
def test_logits_are_those_of_separate_passes(name: str, attention: str) -> None:
    model, tree = made(name, attention), lay_out(ITEMS, 0)
    assert may_share(model)
    with torch.no_grad():
        together_BTV = model(**inputs(model, tree)).logits
        for b, each in enumerate(ITEMS):
            edges = (*each.branches, len(each.ids))
            for k in range(len(each.branches)):
                alone = only(each, [k])
                alone_TV = model(input_ids=torch.tensor([alone.ids])).logits[0]
                begin = each.branches[0]
                assert torch.allclose(together_BTV[b, :begin], alone_TV[:begin], atol=1e-5)
                assert torch.allclose(together_BTV[b, edges[k] : edges[k + 1]], alone_TV[begin:], atol=1e-5)


def test_log_probabilities_are_those_of_separate_rows() -> None:
    model, tree = made("llama"), lay_out(ITEMS, 0, {b: b for b in range(4)})
    alone = apart(tree)
    assert len(alone.rows) == 8
    assert alone.single
    one, other = logprobs(model, tree), logprobs(model, alone)
    assert one.shape == (12,)  # eight answers and four prompts
    assert torch.allclose(one, other, atol=1e-4)
    assert torch.equal(tree.lengths_S, alone.lengths_S)
    assert tree.lengths_S.tolist() == [5, 6, 12, 1, 1, 3, 5, 8, 8, 2, 13, 4]


def test_another_answer_changes_nothing() -> None:
    model = made("llama")
    one = ITEMS[0]
    other = one._replace(ids=one.ids[:9] + [(token + 1) % 384 for token in one.ids[9:14]] + one.ids[14:])
    first, second = (logprobs(model, lay_out([each], 0)) for each in (one, other))
    assert first[0] != second[0]
    assert first[1] == second[1]


@pytest.mark.parametrize("name", ["gemma2", "mistral", "gemma3_text"])
def test_beyond_a_sliding_window_answers_go_apart(name: str) -> None:
    model, tree = made(name, sliding_window=64), lay_out(ITEMS, 0)
    assert view(model, tree).tree is tree
    far = lay_out([item("far", 60, 20, 30, seed=5)], 0)
    assert view(model, far).tree.single
    with torch.no_grad():
        for k, said in enumerate(logprobs(model, far).tolist()):
            alone = only(far.items[0], [k])
            spoken = torch.log_softmax(model(input_ids=torch.tensor([alone.ids])).logits[0, :-1], -1)
            each = spoken.gather(1, torch.tensor(alone.ids[1:])[:, None])[:, 0]
            assert said == pytest.approx(float(each[torch.tensor(alone.learnt[1:])].sum()), abs=1e-3)
        window, without = (logprobs(made(name, sliding_window=size), far) for size in (64, 4096))
        assert not torch.allclose(window, without, atol=1e-3)


@pytest.mark.parametrize("name", ["bloom", "mamba", "lfm2"])
def test_models_that_lose_the_places_go_apart(name: str) -> None:
    fields = {"lfm2": {"layer_types": ["conv", "full_attention"]}, "bloom": {"n_layer": 2, "n_head": 4}}
    model, tree = made(name, **fields.get(name, {})), lay_out(ITEMS, 0)
    assert not may_share(model)
    assert view(model, tree).tree.single


def test_padding_is_never_seen() -> None:
    model = made("qwen2")
    one, other = (logprobs(model, lay_out(ITEMS, pad)) for pad in (0, 7))
    assert torch.equal(one, other)


def test_trying_a_model_leaves_it_as_it_was() -> None:
    model = made("llama").train()
    before = torch.get_rng_state()
    assert may_share(model)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
