"""The ready check of a training method: ours passes, and what would break the loop is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from luthier import plugins
from luthier.lm.chat import Chat
from luthier.testing import check_method
from luthier.training.method import Loss, Method
from luthier.training.sft import SFT
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def check(folder: Path) -> Callable[[Method], None]:
    model, chat = LlamaForCausalLM.from_pretrained(folder), Chat.load(folder)
    return lambda method: check_method(method, model, chat)


def test_ours_passes(check: Callable[[Method], None]) -> None:
    check(plugins.find("method", "sft")({}))


def mean_instead_of_sum(model, batch) -> Loss:
    total, terms, _ = SFT.loss(model, batch)
    return Loss(total / terms, terms)


def looks_at_padding(model, batch) -> Loss:
    total, terms, _ = SFT.loss(model, batch)
    return Loss(total + batch.ids_BT.float().sum(), terms)


def cut_off(model, batch) -> Loss:
    total, terms, _ = SFT.loss(model, batch)
    return Loss(total.detach().requires_grad_(), terms)


def not_a_number(model, batch) -> Loss:
    total, terms, _ = SFT.loss(model, batch)
    return Loss(total * float("nan"), terms)


@pytest.mark.parametrize(
    ("method", "complaint"),
    [
        (SFT._replace(loss=mean_instead_of_sum), "another loss than rows alone"),
        (SFT._replace(loss=looks_at_padding), "loss"),
        (SFT._replace(loss=cut_off), "reaches no weight"),
        (SFT._replace(loss=not_a_number), "the loss is nan"),
        (SFT._replace(prepare=lambda row, chat: SFT.prepare(row, chat)._replace(row="x")), "row-1 became x"),
        (SFT._replace(prepare=lambda row, chat: SFT.prepare(row, chat)._replace(learnt=[])), "differ in length"),
        (SFT._replace(collate=lambda items, pad: SFT.collate(items[::-1], pad)), "its rows in order"),
    ],
)
def test_a_method_that_breaks_the_contract(method: Method, complaint: str, check: Callable[[Method], None]) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check(method)
