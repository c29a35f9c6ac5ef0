"""Reward models: Bradley-Terry on separate forward passes, the head's place and first weights, and its way to disk."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid
from transformers import AutoModelForSequenceClassification

from luthier.errors import BadConfig, Missing
from luthier.lm.chat import Chat
from luthier.lm.scored import load_scored, score
from luthier.records.data import Row
from luthier.training.reward import method
from tests.golden.preferring import check_same, preferences
from tests.tiny import tiny_model


@pytest.fixture
def model(base: Path) -> Any:
    return load_scored(base, "float32", attention="eager")


def alone(model: Any, chat: Chat, row: Row) -> list[torch.Tensor]:
    """The rewards of chosen and rejected, each from a plain pass: the head on the last token's hidden numbers."""
    dialogues = [row.messages, (*row.messages[:-1], *row.rejected)]
    ids = [chat.training_ids(messages).ids for messages in dialogues]
    return [model.score(model.model(torch.tensor([each])).last_hidden_state[0, -1])[0] for each in ids]


@pytest.mark.parametrize("centre", [0.0, 0.05])
def test_as_the_paper_writes_it(base: Path, model: Any, centre: float) -> None:
    rows, chat, reward = preferences(5), Chat.load(base), method({"centre": centre})
    ours = reward.loss(model, reward.collate([reward.prepare(row, chat) for row in rows], 0))
    pairs = [alone(model, chat, row) for row in rows]
    theirs = sum((-logsigmoid(c - r) + centre * (c + r) ** 2 for c, r in pairs), torch.tensor(0.0))
    check_same(model, ours.total, theirs)
    assert ours.terms == 5
    assert ours.figures["accuracy"] == sum(bool(c > r) for c, r in pairs)
    assert ours.figures["margin"] == pytest.approx(sum((c - r).item() for c, r in pairs), abs=1e-4)


def test_a_text_is_scored_at_its_end_whatever_it_is_padded_with(base: Path, model: Any) -> None:
    """transformers takes the end for padding where both are one id, and reads the token before."""
    chat, rows = Chat.load(base), preferences(3)
    texts = [chat.training_ids(row.messages).ids for row in rows]
    expected = [alone(model, chat, row)[0].item() for row in rows]
    assert score(model, texts) == pytest.approx(expected, rel=1e-5)
    model.config.pad_token_id = texts[0][-1]
    assert score(model, texts) == pytest.approx(expected, rel=1e-5)
    assert model(torch.tensor([texts[0]])).logits.item() != pytest.approx(expected[0], rel=1e-3)


def test_every_run_begins_with_the_same_head(base: Path, model: Any) -> None:
    torch.manual_seed(5)
    again = load_scored(base, "float32", attention="eager")
    assert torch.equal(model.score.weight, again.score.weight)
    assert again.score.weight.norm().item() == pytest.approx(1, abs=0.3)


def test_a_head_that_was_trained_is_kept(model: Any, tmp_path: Path) -> None:
    trained = copy.deepcopy(model)
    with torch.no_grad():
        trained.score.weight.fill_(0.25)
    trained.save_pretrained(tmp_path)
    back = load_scored(tmp_path, "float32")
    assert torch.equal(back.score.weight, trained.score.weight)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert plain.config.num_labels == 1


def test_what_cannot_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"no config\.json"):
        load_scored(tmp_path)
    folder = tiny_model(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(BadConfig, match="lack"):
        load_scored(folder, "float32")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadConfig, match="safetensors"):
        load_scored(folder)
