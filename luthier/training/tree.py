"""Several answers to one prompt as one row: the prompt goes through the model once, and no answer sees another.

A row is prompt + answer + answer …; positions begin again behind the prompt with each answer, and the attention mask
lets a token see the prompt and what stands before it in its own answer. What comes out is what separate passes give.
Knows nothing of models and losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch

from luthier.training.method import Item

PADDING = -1


class Tree(NamedTuple):
    """B rows with A answers in all, padded on the right to T. Answers are counted row by row."""

    rows: tuple[str, ...]
    items: tuple[Item, ...]
    """What the rows were made from."""
    pad: int
    ids_BT: torch.Tensor
    positions_BT: torch.Tensor
    branch_BT: torch.Tensor
    """0 in the prompt, k in the k-th answer, -1 in the padding."""
    predicting_N: torch.Tensor
    """Flat positions (b * T + t) that predict a learnt token."""
    targets_N: torch.Tensor
    """The learnt tokens."""
    text_N: torch.Tensor
    """Which of the S texts each belongs to: answers first, then prompts where these are learnt too."""
    lengths_S: torch.Tensor
    """Learnt tokens in each text, float."""
    ends_A: torch.Tensor
    """Flat position of each answer's last token."""

    @property
    def single(self) -> bool:
        """Whether no row has two answers: then it is an ordinary batch, and needs no mask."""
        return all(len(item.branches) < 2 for item in self.items)


class Laid(NamedTuple):
    """One row: position and branch of each token, and for each learnt token its predictor, itself and its text."""

    positions: list[int]
    branch: list[int]
    learnt: list[tuple[int, int, int]]
    ends: list[int]


def lay(item: Item, *, prompt: bool = False) -> Laid:
    """Where the tokens of `item` stand. Texts are counted from 1 as branches are; 0 is the prompt."""
    begin = item.branches[0]
    positions, branch = list(range(begin)), [0] * begin
    learnt = [(t - 1, item.ids[t], 0) for t in range(1, begin)] if prompt else []
    edges = (*item.branches, len(item.ids))
    for k, (start, end) in enumerate(pairwise(edges), start=1):
        positions += range(begin, begin + end - start)
        branch += [k] * (end - start)
        # The first token of every answer is predicted where the prompt ends.
        learnt += [(begin - 1 if t == start else t - 1, item.ids[t], k) for t in range(start, end) if item.learnt[t]]
    return Laid(positions, branch, learnt, [end - 1 for end in edges[1:]])


def lay_out(items: Sequence[Item], pad: int, prompts: Mapping[int, int] = {}) -> Tree:
    """The rows side by side. `prompts` names rows whose prompts are learnt too, and counts these texts from 0."""
    width, answers = max(len(item.ids) for item in items), sum(len(item.branches) for item in items)
    shape = (len(items), width)
    ids_BT, positions_BT = torch.full(shape, pad), torch.zeros(shape, dtype=torch.long)
    branch_BT = torch.full(shape, PADDING)
    learnt: list[tuple[int, int, int]] = []
    ends: list[int] = []
    for b, item in enumerate(items):
        laid, size = lay(item, prompt=b in prompts), len(item.ids)
        ids_BT[b, :size] = torch.tensor(item.ids)
        positions_BT[b, :size] = torch.tensor(laid.positions)
        branch_BT[b, :size] = torch.tensor(laid.branch)
        before = len(ends) - 1
        learnt += [(b * width + t, token, before + k if k else answers + prompts[b]) for t, token, k in laid.learnt]
        ends += [b * width + end for end in laid.ends]
    predicting_N, targets_N, text_N = torch.tensor(learnt, dtype=torch.long).reshape(-1, 3).unbind(1)
    texts = answers + len(prompts)
    return Tree(
        rows=tuple(item.row for item in items),
        items=tuple(items),
        pad=pad,
        ids_BT=ids_BT,
        positions_BT=positions_BT,
        branch_BT=branch_BT,
        predicting_N=predicting_N,
        targets_N=targets_N,
        text_N=text_N,
        lengths_S=torch.bincount(text_N, minlength=texts).float(),
        ends_A=torch.tensor(ends, dtype=torch.long),
    )


def collate(items: Sequence[Item], pad: int) -> Tree:
    """`lay_out` as a method's collate."""
    return lay_out(items, pad)


def only(item: Item, answers: Sequence[int]) -> Item:
    """The prompt with these answers (counted from 0) and no others; `known` stays as it is."""
    edges = (*item.branches, len(item.ids))
    begin = item.branches[0]
    ids, learnt, starts = item.ids[:begin], item.learnt[:begin], []
    for answer in answers:
        start, end = edges[answer], edges[answer + 1]
        starts.append(len(ids))
        ids = ids + item.ids[start:end]
        learnt = learnt + item.learnt[start:end]
    return item._replace(ids=ids, learnt=learnt, branches=tuple(starts))


def apart(tree: Tree) -> Tree:
    """The same texts in the same order, each answer behind a copy of its prompt in a row of its own."""
    alone = [only(item, [k]) for item in tree.items for k in range(len(item.branches))]
    firsts = accumulate((len(item.branches) for item in tree.items[:-1]), initial=0)
    learns_prompts = len(tree.lengths_S) > len(tree.ends_A)
    return lay_out(alone, tree.pad, {row: b for b, row in enumerate(firsts)} if learns_prompts else {})


def visible(tree: Tree) -> torch.Tensor:
    """Which token sees which, (B, 1, T, T) bool. Padding sees the prompt, so that no row of the softmax is empty."""
    width = tree.ids_BT.shape[1]
    own_BTT = tree.branch_BT[:, :, None] == tree.branch_BT[:, None, :]
    own_BTT |= tree.branch_BT[:, None, :] == 0
    return (own_BTT & torch.ones(width, width, dtype=torch.bool).tril())[:, None]
