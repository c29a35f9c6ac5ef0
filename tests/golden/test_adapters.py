"""Every kind of adapter: what it is at the start, what plain PEFT says of the files, and what its paper says it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.functional import gelu

from luthier.errors import RunFailed
from luthier.lm import adapters, levels
from luthier.lm.load import load_model
from luthier.progress import silent
from luthier.records.training import LoraSpec, PromptSpec
from luthier.training import base as bases
from luthier.training import finish
from luthier.training.loop import Outcome, Work, train
from luthier.training.sft import SFT
from tests.golden.kinds import ALL, LORA
from tests.training.making import Ready, make_recipe, ready

STAMP = adapters.Stamp("base", "template", "tokenizer")
IDS = torch.tensor([[1, 40, 50, 60, 70, 80, 90, 100, 110, 2]])
IN_FRONT = ("prefix", "prompt")


class Tuned(NamedTuple):
    """Something trained for a few steps: in memory, and in `folder`/result."""

    kind: str
    made: Ready
    outcome: Outcome
    folder: Path

    @property
    def result(self) -> Path:
        return self.folder / "result"


def begin(base: Path, kind: str, **fields: Any) -> Ready:
    recipe = make_recipe(base, **ALL[kind] | fields)
    return ready(recipe.model_copy(update={"lora": None}))._replace(model=bases.load(recipe, "generate"), recipe=recipe)


@pytest.fixture(scope="module", params=ALL)
def tuned(request: pytest.FixtureRequest, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = tmp_path_factory.mktemp("tuned")
    made = begin(base, request.param, max_steps=4)
    outcome = train(Work(made.model, SFT, made.recipe, made.items, (), 0, folder, {}), silent)
    finish.write(made.model, outcome.masters, folder / "result", made.chat, STAMP)
    return Tuned(request.param, made, outcome, folder)


@torch.no_grad()
def logits(model: torch.nn.Module, ids: torch.Tensor = IDS) -> torch.Tensor:
    out: torch.Tensor = model.eval()(input_ids=ids, use_cache=False).logits
    return out


def plain(base: Path) -> Any:
    return load_model(base, "float32", attention="eager")


def off(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference, as a share of the largest logit."""
    return float((one - other).abs().max() / one.abs().max())


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in (*IN_FRONT, "nf4", "int8")])
def test_at_the_start_it_is_the_base(base: Path, kind: str) -> None:
    found = off(logits(plain(base)), logits(begin(base, kind).model))
    assert found < 1e-6 if kind == "pissa" else found == 0


@pytest.mark.parametrize("kind", IN_FRONT)
def test_at_the_start_it_is_the_base_with_words_in_front(base: Path, kind: str) -> None:
    """Learnt positions begin as real tokens, and the positions that come out are those of the row alone."""
    made = begin(base, kind)
    if kind == "prompt":
        words = made.chat.tokenizer("You are a bank.", add_special_tokens=False)["input_ids"]
        front = torch.tensor([words[:4]])
    else:
        torch.manual_seed(made.recipe.seed)
        front = torch.randint(0, 384, (1, 4))
        front[0, 0] = made.chat.tokenizer.bos_token_id
    expected = logits(plain(base), torch.cat([front, IDS], dim=1))[:, 4:]
    assert logits(made.model).shape == expected.shape
    assert off(expected, logits(made.model)) < 1e-6


def test_the_checks_after_training(base: Path, tuned: Tuned) -> None:
    """Read back on an untouched base, merged, answering; every tensor has moved."""
    was = logits(tuned.made.model)
    masters = tuned.outcome.masters
    finish.require_moved(tuned.made.recipe, "generate", None, masters, 4)
    model = begin(base, tuned.kind).model
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, master in masters.items():
            parameters[name].copy_(master)
    assert torch.equal(was, logits(model))
    figures = finish.check(model, tuned.result, tuned.made.items, tuned.made.chat).figures()
    peak = float(was.abs().max())
    assert figures["reload_difference"] <= 1e-5 * peak
    assert ("merge_difference" in figures) == (tuned.kind in (*LORA, "ia3"))
    assert figures.get("merge_difference", 0) <= 1e-5 * peak
    assert ("unquantised_difference" in figures) == (tuned.kind in ("int8", "nf4"))
    assert 0 <= figures["stops"] <= 1


def test_a_tensor_that_stood_still_is_found(base: Path, tuned: Tuned) -> None:
    first = {name: p.detach().float() for name, p in begin(base, tuned.kind).model.named_parameters()}
    name = list(tuned.outcome.masters)[-1]
    with pytest.raises(RunFailed, match=f"1 of {len(tuned.outcome.masters)} trained tensors .* {name}"):
        finish.require_moved(
            tuned.made.recipe, "generate", None, tuned.outcome.masters | {name: first[name]}, tuned.outcome.steps
        )


def test_plain_peft_reads_it(base: Path, tuned: Tuned) -> None:
    """Nothing of ours in between: PEFT, on a base as anybody loads it."""
    if tuned.kind in ("full", "bottleneck", "pfeiffer", "int8", "nf4"):
        pytest.skip("PEFT has no such format, or the base is another")
    theirs = PeftModel.from_pretrained(plain(base), tuned.result)
    said = logits(theirs)[:, -IDS.shape[1] :]  # plain PEFT gives the places of a learnt prompt as well
    assert off(logits(tuned.made.model), said) < 1e-5
    assert off(logits(plain(base)), said) > 1e-3  # it has learnt something


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind != "full"])
def test_the_loss_is_what_pefts_own_forward_makes_of_labels(base: Path, kind: str) -> None:
    """transformers shifts the labels, PEFT puts -100 in front of them for a learnt prompt; the mean is ours."""
    made = begin(base, kind)
    made.model.eval()
    item = made.items[0]
    labels = torch.tensor([[token if learnt else -100 for token, learnt in zip(item.ids, item.learnt, strict=True)]])
    ours = SFT.loss(made.model, SFT.collate([item], 0))
    if kind == "prompt":  # PEFT alone, without our cut
        for handle in list(made.model.get_decoder()._forward_hooks):
            made.model.get_decoder()._forward_hooks.pop(handle)
    theirs = made.model(input_ids=torch.tensor([item.ids]), labels=labels, use_cache=False).loss
    assert float(ours.total) / ours.terms == pytest.approx(float(theirs), rel=1e-6)


@pytest.mark.parametrize("kind", ["lora", "bottleneck", *IN_FRONT])
def test_rows_side_by_side_are_rows_alone(base: Path, kind: str) -> None:
    made = begin(base, kind)
    made.model.eval()
    together = SFT.loss(made.model, SFT.collate(made.items[:3], 0)).total
    alone = sum(float(SFT.loss(made.model, SFT.collate([item], 0)).total) for item in made.items[:3])
    assert float(together) == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("kind", ["bottleneck", "ia3", *IN_FRONT])
def test_greedy_answers_are_the_likeliest_tokens(base: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share that stops rests on `generate`, and PEFT's own handling of positions and caches."""
    made = begin(base, kind)
    ids = made.items[0].ids[: made.items[0].learnt.index(True)]
    said = list(ids)
    for _ in range(6):
        said.append(int(logits(made.model, torch.tensor([said]))[0, -1].argmax()))
    third = said[len(ids) + 2]
    monkeypatch.setattr(finish, "LONGEST_ANSWER", 6)
    chat = made.chat.__class__(made.chat.tokenizer, frozenset({third}))
    assert finish.stopping(made.model, [made.items[0]], chat) == 1
    unsaid = next(token for token in range(3, 384) if token not in said)
    chat = made.chat.__class__(made.chat.tokenizer, frozenset({unsaid}))
    assert finish.stopping(made.model, [made.items[0]], chat) == 0


def test_pissa_begins_where_pefts_does(base: Path) -> None:
    config = LoraConfig(r=3, use_rslora=True, lora_alpha=3, init_lora_weights="pissa", target_modules="all-linear")
    theirs = levels.layers(get_peft_model(plain(base), config))
    ours = levels.layers(begin(base, "pissa").model)
    assert set(ours) == set(theirs)
    for name, layer in ours.items():
        product, expected = (
            each.lora_B["default"].weight @ each.lora_A["default"].weight for each in (layer, theirs[name])
        )
        assert float(product.norm() / expected.norm()) > 0.999, name
        assert float((product - expected).norm() / expected.norm()) < 0.1, name  # equally long ones may change places


def test_dora_is_a_length_and_a_direction(base: Path, tmp_path: Path) -> None:
    """m · (W + s B A) / ‖W + s B A‖, a length for each output (arXiv:2402.09353, equation 5)."""
    made = begin(base, "dora", max_steps=3)
    outcome = train(Work(made.model, SFT, made.recipe, made.items, (), 0, tmp_path, {}), silent)
    by_hand = plain(base)
    for name in levels.layers(made.model):
        where = f"base_model.model.{name}"
        down, up = (outcome.masters[f"{where}.lora_{side}.default.weight"] for side in "AB")
        length = outcome.masters[f"{where}.lora_magnitude_vector.default.weight"]
        weight = by_hand.get_submodule(name).weight
        moved = weight.data + adapters.scale(LoraSpec(rank=4)) * up @ down
        weight.data = length[:, None] * moved / moved.norm(dim=1, keepdim=True)
    assert off(logits(made.model), logits(by_hand)) < 1e-5


def test_a_bottleneck_is_behind_both_parts(base: Path, tuned: Tuned) -> None:
    """h + up(gelu(down(h))), computed by a forward pass of our own through the layers (arXiv:1902.00751)."""
    if tuned.kind not in ("bottleneck", "pfeiffer"):
        pytest.skip("another kind")
    masters, model = tuned.outcome.masters, plain(base).model

    def added(h: torch.Tensor, where: str) -> torch.Tensor:
        if f"{where}.down.weight" not in masters:
            return h
        inner = gelu(h @ masters[f"{where}.down.weight"].t() + masters[f"{where}.down.bias"])
        return h + inner @ masters[f"{where}.up.weight"].t() + masters[f"{where}.up.bias"]

    with torch.no_grad():
        stream = model.embed_tokens(IDS)
        places = torch.arange(IDS.shape[1])[None]
        mask = torch.full((IDS.shape[1], IDS.shape[1]), -torch.inf).triu(1)[None, None]
        turned = model.rotary_emb(stream, places)
        for n, layer in enumerate(model.layers):
            attended = layer.self_attn(layer.input_layernorm(stream), position_embeddings=turned, attention_mask=mask)
            stream = stream + added(attended[0], f"model.layers.{n}.bottleneck_attention")
            fed = layer.mlp(layer.post_attention_layernorm(stream))
            stream = stream + added(fed, f"model.layers.{n}.bottleneck_feed_forward")
        by_hand = model.norm(stream) @ model.embed_tokens.weight.t()
    assert off(logits(tuned.made.model), by_hand) < 1e-5
    assert any("bottleneck_attention" in name for name in masters) == (tuned.kind == "bottleneck")


def test_loraplus_moves_b_faster(base: Path, tmp_path: Path) -> None:
    """AdamW's first step is the rate itself: B's is `rate_ratio` times what it is without (arXiv:2402.12354)."""
    moved = {}
    for ratio in (1, 16):
        made = begin(base, "lora", lora=LoraSpec(rank=4, rate_ratio=ratio), max_steps=1, learning_rate=1e-4, warmup=0)
        work = Work(made.model, SFT, made.recipe, made.items, (), 0, tmp_path / str(ratio), {})
        masters = train(work, silent).masters
        moved[ratio] = {name: master.abs().max() for name, master in masters.items() if ".lora_B." in name}
    for name, slow in moved[1].items():
        assert float(moved[16][name] / slow) == pytest.approx(16, rel=1e-3)


def test_other_first_words_are_another_prompt(base: Path) -> None:
    spec = PromptSpec(kind="prompt", tokens=4, text="A much longer sentence of words")
    other = begin(base, "prompt", adapter=spec).model
    assert off(logits(begin(base, "prompt").model), logits(other)) > 1e-3


def test_what_peft_lacks_says_what_it_is(tuned: Tuned) -> None:
    if tuned.kind not in ("bottleneck", "pfeiffer"):
        pytest.skip("another kind")
    config = json.loads((tuned.result / "adapter_config.json").read_text())
    where = "both" if tuned.kind == "bottleneck" else "feed-forward"
    assert config == {"peft_type": "BOTTLENECK", "width": 8, "where": where, "activation": "gelu"}
    assert adapters.read_stamp(tuned.result) == STAMP
