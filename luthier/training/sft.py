"""Supervised fine-tuning: learn the assistant's turns, token by token.

Loss: cross-entropy of each learnt token given all before it, summed. Logits are computed at the positions that
predict a learnt token and nowhere else: with a long prompt and a short answer that saves most of the vocabulary
projection and its memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from luthier.errors import BadData
from luthier.lm.chat import Chat
from luthier.records.base import Value
from luthier.records.data import Row
from luthier.training.method import Batch, Item, Loss, Method, understood


def prepare(row: Row, chat: Chat) -> Item:
    """The row as ids, its assistant turns learnt. Raises BadData for an answer that somebody did not want."""
    if row.good is False:
        raise BadData(
            f"row {row.id} is rated as not wanted, and this method would learn it",
            "leave such rows out, or train with a method that learns from ratings",
        )
    rendered = chat.training_ids(row.messages, row.tools)
    return Item(row.id, rendered.ids, rendered.learnt)


def collate(items: Sequence[Item], pad: int) -> Batch:
    """Rows padded on the right. Causal attention never looks ahead, so padding there needs no mask."""
    length = max(len(item.ids) for item in items)
    ids_BT = torch.full((len(items), length), pad)
    predicting: list[int] = []
    for b, item in enumerate(items):
        ids_BT[b, : len(item.ids)] = torch.tensor(item.ids)
        predicting += [b * length + t - 1 for t, learnt in enumerate(item.learnt) if learnt and t > 0]
    predicting_N = torch.tensor(predicting, dtype=torch.long)
    return Batch(tuple(item.row for item in items), ids_BT, predicting_N, ids_BT.flatten()[predicting_N + 1])


class Packed(NamedTuple):
    """Rows one behind the other in one row. `positions_BT` begin at 0 with each: that tells transformers to let a
    token see its own row alone. `predicting_N` and `targets_N` as in `Batch`."""

    rows: tuple[str, ...]
    ids_BT: torch.Tensor
    predicting_N: torch.Tensor
    targets_N: torch.Tensor
    positions_BT: torch.Tensor


def pack(items: Sequence[Item], pad: int) -> Packed:
    """Rows one behind the other, nothing padded: the other way to lay out what `collate` lays side by side."""
    starts = accumulate((len(item.ids) for item in items), initial=0)
    ids_T = torch.tensor([token for item in items for token in item.ids])
    predicting_N = torch.tensor(
        [
            s + t - 1
            for s, item in zip(starts, items, strict=False)
            for t, learnt in enumerate(item.learnt)
            if learnt and t
        ],
        dtype=torch.long,
    )
    positions_T = torch.cat([torch.arange(len(item.ids)) for item in items])
    rows = tuple(item.row for item in items)
    return Packed(rows, ids_T[None], predicting_N, ids_T[predicting_N + 1], positions_T[None])


def loss(model: PreTrainedModel, batch: Batch | Packed) -> Loss:
    """Summed cross-entropy over the learnt tokens, in float32."""
    ids_BT, predicting_N, targets_N = (t.to(model.device) for t in (batch.ids_BT, batch.predicting_N, batch.targets_N))
    places = {"position_ids": batch.positions_BT.to(model.device)} if isinstance(batch, Packed) else {}

    def pick(head: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0].flatten(0, 1)[predicting_N],)

    # Picked in front of the head, and not behind the decoder: what the model does to its logits afterwards (Gemma caps
    # them, Granite scales them) is done to ours too.
    hook = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        # transformers sees that rows are packed only where it gets neither a mask nor a cache.
        logits_NV = model(input_ids=ids_BT, attention_mask=None, use_cache=False, **places).logits
    finally:
        hook.remove()
    return Loss(cross_entropy(logits_NV.float(), targets_N, reduction="sum"), len(targets_N))


SFT = Method(prepare, collate, loss, packed=pack)


class Options(Value):
    """None: what is learnt is in the rows."""


def method(options: Mapping[str, Any]) -> Method:
    """Supervised fine-tuning."""
    understood(Options, options, "sft")
    return SFT
