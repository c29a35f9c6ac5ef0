"""The distillation loss is the formula, token by token, and TRL's where they mean the same."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
import torch

from luthier.training import sft, teacher
from luthier.training.distil import Options, Taught, divergence, loss
from luthier.training.teacher import Asking, likeliest, pointed
from tests.golden.test_grpo import left
from tests.tiny import tiny_model
from tests.training import children
from tests.training.children import KILLED, train
from tests.training.making import bench, make_recipe, ready


@pytest.fixture(scope="session")
def tutor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wider model with the same tokenizer."""
    return tiny_model(tmp_path_factory.mktemp("tutor") / "tiny", seed=5, width=96)


def plain(student: list[float], teachers: list[float]) -> float:
    """KL(teacher || student) from probabilities."""
    return sum(p * math.log(p / q) for p, q in zip(teachers, student, strict=True) if p > 0)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kept", [40, 39, 5, 1])
def test_the_divergence_is_the_formula(kept: int, temperature: float) -> None:
    """What is not kept counts as one outcome: exact with all kept, and never more than the whole."""
    torch.manual_seed(0)
    ours, theirs = torch.randn(6, 40), torch.randn(6, 40)
    best = (theirs / temperature).log_softmax(-1).topk(kept)
    got = divergence(ours / temperature, best.indices, best.values)
    for n in range(6):
        p, q = ((each[n] / temperature).softmax(-1).double().tolist() for each in (theirs, ours))
        chosen = best.indices[n].tolist()
        rest = [[x[i] for i in chosen] + [sum(x) - sum(x[i] for i in chosen)] * (kept < 40) for x in (p, q)]
        assert float(got[n]) == pytest.approx(plain(rest[1], rest[0]), abs=1e-5)
        assert float(got[n]) <= plain(q, p) + 1e-5
        assert float(got[n]) >= -1e-6


def test_an_empty_place_costs_nothing() -> None:
    """Where a server named fewer tokens, the places left over count for nothing."""
    torch.manual_seed(0)
    logits, said = torch.randn(1, 20), torch.tensor([[-0.1, -3.0]])
    ids = torch.tensor([[3, 4]])
    padded = torch.tensor([[3, 4, 0]]), torch.tensor([[-0.1, -3.0, teacher.NEVER]])
    assert torch.allclose(divergence(logits, ids, said), divergence(logits, *padded))


def test_as_trls_gkd_computes_it() -> None:
    """`generalized_jsd_loss(student, teacher, beta=0, reduction="sum")` of TRL 1.16 on these numbers, which is
    `torch.nn.functional.kl_div` with the teacher as target."""
    torch.manual_seed(0)
    ours, theirs = torch.randn(14, 50), torch.randn(14, 50)
    best = theirs.log_softmax(-1).topk(50)
    wanted = torch.nn.functional.kl_div(ours.log_softmax(-1), theirs.log_softmax(-1), reduction="sum", log_target=True)
    assert float(divergence(ours, best.indices, best.values).sum()) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(("mix", "temperature"), [(0.0, 1.0), (0.5, 1.0), (0.3, 2.0), (1.0, 1.0)])
def test_the_loss_of_a_batch(mix: float, temperature: float, base: Path, tutor: Path, tmp_path: Path) -> None:
    """From the rows through the kept log-probabilities, against both models read whole."""
    given = Options(teacher=str(tutor), mix=mix, temperature=temperature, top=384)
    made, tutored = ready(make_recipe(base)), ready(make_recipe(tutor, lora=None))
    items = made.items[:4]
    kept = likeliest(tutored.model, items, Asking(384, temperature, 384, 256), tmp_path)
    batch = sft.collate(items, 0)
    taught = Taught(batch.rows, batch, torch.from_numpy(kept.ids_NK[:]).long(), torch.from_numpy(kept.said_NK[:]))
    ours = loss(made.model, taught, given)
    hard = soft = 0.0
    terms = 0
    for item in items:
        ids = torch.tensor([item.ids])
        with torch.no_grad():
            student, teachers = (model(input_ids=ids).logits[0].float() for model in (made.model, tutored.model))
        for t, learnt in enumerate(item.learnt):
            if learnt:
                hard -= float(student[t - 1].log_softmax(-1)[item.ids[t]])
                p, q = ((x[t - 1] / temperature).softmax(-1).double().tolist() for x in (teachers, student))
                soft += plain(q, p)
                terms += 1
    assert ours.terms == terms
    assert ours.figures == {"hard": pytest.approx(hard, rel=1e-4), "kl": pytest.approx(soft, rel=1e-4)}
    assert float(ours.total) == pytest.approx(mix * hard + (1 - mix) * temperature**2 * soft, rel=1e-4)


def test_a_model_is_its_own_best_teacher(base: Path, tmp_path: Path) -> None:
    made = ready(make_recipe(base))
    items = pointed(made.items[:3])
    kept = likeliest(made.model, items, Asking(16, 1.0, 384, 256), tmp_path)
    batch = sft.collate(items, 0)
    taught = Taught(batch.rows, batch, torch.from_numpy(kept.ids_NK[:]).long(), torch.from_numpy(kept.said_NK[:]))
    ours = loss(made.model, taught, Options(teacher=str(base), mix=0.0))
    assert float(ours.total) / ours.terms == pytest.approx(0, abs=1e-5)


def test_killed_and_resumed_it_leaves_the_same_bytes(base: Path, tutor: Path, tmp_path: Path) -> None:
    recipe = make_recipe(base, method="distil", options={"teacher": str(tutor), "top": 8}, max_steps=6)
    whole, broken = bench(tmp_path / "whole", recipe), bench(tmp_path / "broken", recipe)
    assert train(whole).code == 0
    for kill in (partial(children.dies_in_step, 2), partial(children.dies_with_half_a_state, 3)):
        assert train(broken, kill).code == KILLED
    assert train(broken).code == 0
    assert left(broken) == left(whole)
