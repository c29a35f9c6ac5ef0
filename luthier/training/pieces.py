"""Drawn answers laid out for a model: prompts with some of their answers, and what is known of every drawn token.

Knows nothing of rewards beyond the number that each answer is given, nor of losses and steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from luthier.training.batches import micro_batches
from luthier.training.method import Item
from luthier.training.rollouts import Answer, Asked
from luthier.training.sharing import view
from luthier.training.tree import Tree, lay_out


class Piece(NamedTuple):
    """Some answers to one prompt as one item, its `branches` the answers; numbers of its drawn tokens, in order."""

    item: Item
    engine: tuple[float, ...]
    """What the engine that drew them said, at temperature 1; not a number where it is not known."""
    then: tuple[float, ...] = ()
    """Log-probabilities when they were drawn, at the temperature of the draws."""
    first: tuple[float, ...] = ()
    """The same of the model before training."""
    advantages: tuple[float, ...] = ()
    """One an answer."""

    @property
    def sizes(self) -> list[int]:
        """Tokens of each answer."""
        edges = (*self.item.branches, len(self.item.ids))
        return [end - start for start, end in pairwise(edges)]


class Seen(NamedTuple):
    """What a loss is made of: N drawn tokens of A answers; log-probabilities in float32."""

    now_N: torch.Tensor
    then_N: torch.Tensor
    """When the answers were drawn."""
    first_N: torch.Tensor
    """Before training; as now where nothing holds the model to it."""
    answer_N: torch.Tensor
    """Which answer each token belongs to."""
    advantages_A: torch.Tensor


def leash(seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
    """Each token's divergence from the model before training, (N,), as it is minimised and as it is shown.

    Never below 0 and right on average (Schulman 2020, "k3"); weighted by the token's ratio, which makes the gradient
    that of the divergence itself (DeepSeek-AI 2025, arXiv:2512.02556).
    """
    off_N = seen.first_N - seen.now_N
    shown_N = off_N.exp() - off_N - 1
    return (seen.now_N - seen.then_N).exp() * shown_N, shown_N.detach()


def cut(asked: Sequence[Asked], answers: Sequence[Sequence[Answer]], most: int) -> list[Piece]:
    """Each prompt with as many of its answers as make `most` tokens, at least one; answers stay in order."""
    pieces: list[Piece] = []
    for one, group in zip(asked, answers, strict=True):
        fresh = Piece(Item(one.row, list(one.ids), [False] * len(one.ids)), ())
        piece = fresh
        for answer in group:
            if piece.engine and len(piece.item.ids) + len(answer.ids) > most:
                pieces.append(piece)
                piece = fresh
            piece = with_answer(piece, answer)
        pieces.append(piece)
    return pieces


def with_answer(piece: Piece, answer: Answer) -> Piece:
    """The piece with one answer more."""
    row, ids, learnt, branches, _ = piece.item
    size = len(answer.ids)
    item = Item(row, ids + answer.ids, learnt + [True] * size, (*branches, len(ids)))
    return Piece(item, piece.engine + (answer.said or (math.nan,) * size))


def token_logprobs(model: PreTrainedModel, tree: Tree, temperature: float) -> torch.Tensor:
    """Log-probability of each learnt token of `tree` at that temperature, (N,) in float32."""
    seen, given = view(model, tree)
    predicting_N, targets_N = seen.predicting_N.to(model.device), seen.targets_N.to(model.device)

    def pick(head: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0].flatten(0, 1)[predicting_N],)

    hook = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        logits_NV = model(**given).logits
    finally:
        hook.remove()
    return -cross_entropy(logits_NV.float() / temperature, targets_N, reduction="none")


@torch.no_grad()
def said(
    model: PreTrainedModel, pieces: Sequence[Piece], temperature: float, most: int, pad: int
) -> list[tuple[float, ...]]:
    """What the model as it is now, without dropout, says of the drawn tokens of each piece."""
    model.eval()
    found: dict[int, tuple[float, ...]] = {}
    for micro in micros(pieces, most):
        numbers = iter(token_logprobs(model, lay_out([pieces[i].item for i in micro], pad), temperature).tolist())
        for i in micro:
            found[i] = tuple(next(numbers) for _ in range(sum(pieces[i].sizes)))
    return [found[i] for i in range(len(pieces))]


def micros(pieces: Sequence[Piece], most: int) -> Sequence[tuple[int, ...]]:
    """Which pieces go through the model together."""
    return micro_batches(range(len(pieces)), [len(piece.item.ids) for piece in pieces], most)


def off_policy(pieces: Sequence[Piece], plain: Sequence[tuple[float, ...]]) -> dict[str, float]:
    """How far the engine's log-probabilities are from ours (`plain`, at temperature 1), and for which share of the
    tokens that is known. Empty where no engine said anything."""
    pairs = [p for piece, ours in zip(pieces, plain, strict=True) for p in zip(piece.engine, ours, strict=True)]
    differences = [abs(theirs - own) for theirs, own in pairs if not math.isnan(theirs)]
    figures = {"engine_known": len(differences) / len(pairs)}
    if differences:
        figures |= {"engine_off": sum(differences) / len(differences), "engine_off_most": max(differences)}
    return figures


def divergences(pieces: Sequence[Piece]) -> list[float]:
    """Each answer's log-ratio to the model before training, answers in order."""
    found: list[float] = []
    for piece in pieces:
        ratios = iter([now - first for now, first in zip(piece.then, piece.first, strict=True)])
        found += [sum(next(ratios) for _ in range(size)) for size in piece.sizes]
    return found


def dealt(pieces: Sequence[Piece], advantages: Sequence[float]) -> list[Piece]:
    """The pieces with the advantages of their answers, which are in the same order."""
    numbers = iter(advantages)
    return [piece._replace(advantages=tuple(next(numbers) for _ in piece.sizes)) for piece in pieces]


def seen(model: PreTrainedModel, pieces: Sequence[Piece], temperature: float, pad: int) -> Seen:
    """What the model, as it is now, says of `pieces`, with what is known of them; what is not known is as now."""
    tree = lay_out([piece.item for piece in pieces], pad)
    now_N = token_logprobs(model, tree, temperature)

    def known(numbers: list[float]) -> torch.Tensor:
        return torch.tensor(numbers, device=now_N.device) if numbers else now_N.detach()

    return Seen(
        now_N=now_N,
        then_N=known([number for piece in pieces for number in piece.then]),
        first_N=known([number for piece in pieces for number in piece.first]),
        answer_N=tree.text_N.to(now_N.device),
        advantages_A=torch.tensor([each for piece in pieces for each in piece.advantages], device=now_N.device),
    )
