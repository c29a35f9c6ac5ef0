"""Logits equal PEFT's, whichever adapters share a batch."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel
from transformers import LlamaForCausalLM

from luthier.engine.engine import Engine
from luthier.engine.lora import Both, Runs, Stacked
from luthier.engine.model import Part
from tests.engine.conftest import Folders

NAMES = ["plain", None, "narrow", "rooted", None, "plain"]


def prompts() -> list[list[int]]:
    draws = torch.Generator().manual_seed(0)
    return [torch.randint(3, 384, (length,), generator=draws).tolist() for length in (5, 17, 1, 30, 12, 40)]


def peft_logits(folders: Folders, name: str | None, ids: list[int]) -> torch.Tensor:
    model = LlamaForCausalLM.from_pretrained(folders.base)
    if name is not None:
        model = PeftModel.from_pretrained(model, folders.adapters[name])
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0]


def test_a_mixed_batch_equals_peft(engine: Engine, folders: Folders) -> None:
    adapters = [engine.adapters[name] if name else None for name in NAMES]
    given = prompts()
    states = engine.model.hidden([Part(ids, n, 0, adapters[n]) for n, ids in enumerate(given)])
    ends = torch.tensor([len(ids) for ids in given]).cumsum(0) - 1
    first = engine.model.logits(states[ends], adapters)
    said = first.argmax(-1).tolist()
    states = engine.model.hidden([Part([said[n]], n, len(ids), adapters[n]) for n, ids in enumerate(given)])
    second = engine.model.logits(states, adapters)
    for n, ids in enumerate(given):
        wanted = peft_logits(folders, NAMES[n], [*ids, said[n]])
        torch.testing.assert_close(first[n], wanted[-2], atol=1e-5, rtol=0)
        torch.testing.assert_close(second[n], wanted[-1], atol=1e-5, rtol=0)


def test_prompts_read_beside_answers_that_speak_equal_peft(engine: Engine, folders: Folders) -> None:
    given = prompts()
    names = ["plain", "rooted", "narrow", "rooted"]
    adapters = [engine.adapters[name] for name in names]
    engine.model.hidden([Part(ids[:-1], n, 0, adapters[n]) for n, ids in enumerate(given[:2] + given[3:4])])
    speaking = [Part(ids[-1:], n, len(ids) - 1, adapters[n]) for n, ids in enumerate(given[:2] + given[3:4])]
    states = engine.model.hidden([*speaking, Part(given[5], 3, 0, adapters[3])])
    logits = engine.model.logits(states[[0, 1, 2, -1]], adapters)
    for n, ids in enumerate([*given[:2], given[3], given[5]]):
        torch.testing.assert_close(logits[n], peft_logits(folders, names[n], ids)[-1], atol=1e-5, rtol=0)


def test_a_prompt_read_in_pieces_equals_the_whole(engine: Engine, folders: Folders) -> None:
    ids = prompts()[-1]
    adapter = engine.adapters["rooted"]
    engine.model.hidden([Part(ids[:13], 2, 0, adapter)])
    engine.model.hidden([Part([1, 2, 3], 0, 0), Part(ids[13:39], 2, 13, adapter)])
    engine.model.memory.copy(2, 4, 39)
    last = engine.model.logits(engine.model.hidden([Part(ids[39:], 4, 39, adapter)]), [adapter])
    torch.testing.assert_close(last[0], peft_logits(folders, "rooted", ids)[-1], atol=1e-5, rtol=0)


def test_the_memory_grows_without_losing_anything(engine: Engine, folders: Folders) -> None:
    ids = [3 + n % 300 for n in range(400)]
    engine.model.hidden([Part(ids[:10], 1, 0)])
    engine.model.hidden([Part(ids[:300], 0, 0)])
    assert (engine.model.memory.slots, engine.model.memory.length) == (2, 512)
    engine.model.hidden([Part(ids[10:-1], 1, 10)])
    logits = engine.model.logits(engine.model.hidden([Part(ids[-1:], 1, 399)]), [None])
    torch.testing.assert_close(logits[0], peft_logits(folders, None, ids)[-1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("names", "counts", "kind"),
    [
        ([None, None], [1, 1], type(None)),
        (["plain", "plain"], [1, 1], Runs),
        (["plain", None, "rooted"], [1, 1, 1], Runs),
        (["plain", "rooted", "narrow"], [9, 1, 4], Runs),
        (["plain", "rooted", None, "narrow"], [1, 1, 1, 1], Stacked),
        (["plain", "rooted", None, "narrow", "plain"], [1, 1, 1, 1, 9], Both),
        (["plain", "rooted", None, "narrow", None], [1, 1, 1, 1, 9], Both),
    ],
)
def test_how_a_step_is_computed(engine: Engine, names: list[str | None], counts: list[int], kind: type) -> None:
    adapters = [engine.adapters[name] if name else None for name in names]
    assert type(engine.model.bank.plan(adapters, counts, torch.device("cpu"))) is kind


def test_a_stack_serves_while_it_holds_everybody_and_is_not_too_wide(engine: Engine) -> None:
    plain, rooted, narrow = (engine.adapters[name] for name in ("plain", "rooted", "narrow"))
    bank, cpu = engine.model.bank, torch.device("cpu")
    bank.plan([plain, rooted, narrow], [1, 1, 1], cpu)
    stack = bank.stack
    bank.plan([rooted, plain, rooted], [1, 1, 1], cpu)
    assert bank.stack is stack
    bank.plan([rooted, None, rooted, None, rooted], [1] * 5, cpu)
    assert bank.stack.adapters[0] is rooted
    assert len(bank.stack.adapters) <= 2
