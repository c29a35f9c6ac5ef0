"""Two forms of one model on the same texts: how likely each finds the answers, and how often both would say the same.

Knows nothing of what was changed between them, nor of suites and gates.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from luthier.errors import BadData, RunFailed
from luthier.lm.chat import Chat, Ids
from luthier.records.data import Message, Row

MOST, LONGEST = 48, 768
"""Texts that are looked at, and the tokens of one."""
PROBES = (
    ("What does a replacement card cost?", "A replacement card costs 8.50 EUR and arrives within 5 working days."),
    ("Wie sperre ich meine Karte?", "Rufen Sie die Hotline an, Tag und Nacht. Für Rückfragen: 040 1234."),
    ("Name two things to check before a transfer.", "1. The recipient's IBAN.\n2. The amount, e.g. 1,234.50 €."),
)
"""What is asked where no validation rows are given."""


class Said(NamedTuple):
    """What a model makes of one text."""

    logprob: float
    """Mean log-probability of a learnt token."""
    first: tuple[int, ...]
    """The likeliest token at each of their places."""
    largest: float
    """The largest logit of the last one, in amount."""
    last: torch.Tensor
    """Logits of the last one, (V,) float32."""


class Change(NamedTuple):
    """From one form to another, over the same texts."""

    logprob: float
    """Mean log-probability of a learnt token before, by text."""
    logprob_change: float
    same: float
    """Share of places where the likeliest token stayed the same."""
    logits: float
    """The largest difference of a logit, as a share of the largest logit."""
    texts: int


def texts(chat: Chat, file: Path | None = None) -> list[Ids]:
    """Rendered dialogues, from a file of rows, or else our own probes. Rows that the template refuses stay out."""
    rendered: list[Ids] = []
    if file is not None:
        for line in file.read_text(encoding="utf-8").splitlines():
            row = Row.model_validate(json.loads(line))
            try:
                one = chat.training_ids(row.messages, row.tools)
            except BadData:
                continue
            if any(one.learnt[:LONGEST]):
                rendered.append(Ids(one.ids[:LONGEST], one.learnt[:LONGEST]))
    for question, answer in PROBES if not rendered else ():
        messages = [Message(role="user", content=question), Message(role="assistant", content=answer)]
        rendered.append(chat.training_ids(messages))
    return rendered[:MOST]


@torch.no_grad()
def said(model: PreTrainedModel, items: Sequence[Ids]) -> list[Said]:
    """What `model` makes of each text. Raises RunFailed where it gives numbers that are none."""
    return [of_one(model.eval(), item) for item in items]


def of_one(model: PreTrainedModel, item: Ids) -> Said:
    """One text; logits are computed at its learnt places alone."""
    places = predicting(item)

    def pick(head: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0][:, places.to(inputs[0].device)],)

    hook = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        ids_1T = torch.tensor([item.ids], device=model.device)
        logits_NV = model(input_ids=ids_1T, use_cache=False).logits[0].float().cpu()
    finally:
        hook.remove()
    return by_logits(item, logits_NV)


def predicting(item: Ids) -> torch.Tensor:
    """The places whose logits predict a learnt token, (N,)."""
    return torch.tensor([at - 1 for at, learnt in enumerate(item.learnt) if learnt and at])


def by_logits(item: Ids, logits_NV: torch.Tensor) -> Said:
    """What the logits at the `predicting` places make of the text. Raises RunFailed where one is no number."""
    if not bool(logits_NV.isfinite().all()):
        raise RunFailed("the exported model gives numbers that are not finite", "export it in bfloat16 or float32")
    wanted_N = torch.tensor(item.ids)[predicting(item) + 1]
    picked_N = logits_NV.log_softmax(-1).gather(1, wanted_N[:, None])
    firsts = tuple(logits_NV.argmax(-1).tolist())
    return Said(float(picked_N.mean()), firsts, float(logits_NV[-1].abs().max()), logits_NV[-1].clone())


def change(before: Sequence[Said], after: Sequence[Said]) -> Change:
    """From one to the other, text by text."""
    pairs = list(zip(before, after, strict=True))
    places = [a == b for one, other in pairs for a, b in zip(one.first, other.first, strict=True)]
    was = sum(one.logprob for one in before) / len(pairs)
    now = sum(other.logprob for other in after) / len(pairs)
    apart = max(float((a.last - b.last).abs().max()) / max(1.0, a.largest) for a, b in pairs)
    return Change(was, now - was, sum(places) / len(places), apart, len(pairs))


def require_same(found: Change, most: float, what: str) -> None:
    """Raise RunFailed where logits differ by more than the share `most` of the largest one."""
    if not found.logits <= most:
        raise RunFailed(
            f"{what} gives logits that differ by {found.logits:.2g} of the largest from the model's own",
            "use the adapter itself, and report this as a fault",
        )
