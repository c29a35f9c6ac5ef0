"""Which rows go into which step: a pure function of row lengths, recipe and seed, so that nothing has to be restored.

Rows are shuffled anew each epoch and cut into steps. Within a step they are sorted by length and cut into
micro-batches of at most `micro_tokens` tokens, padding included.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from luthier.records.training import Recipe

Micro = tuple[int, ...]
"""Indices of the rows that go through the model together."""
Step = tuple[Micro, ...]


def plan(lengths: Sequence[int], recipe: Recipe) -> list[Step]:
    """Every step of the run, in order. `recipe` is resolved: it holds no `auto`."""
    assert isinstance(recipe.batch_rows, int)
    assert isinstance(recipe.micro_tokens, int)
    assert isinstance(recipe.epochs, int)
    steps: list[Step] = []
    for epoch in range(recipe.epochs):
        order = list(range(len(lengths)))
        random.Random(f"{recipe.seed}/{epoch}").shuffle(order)
        for start in range(0, len(order), recipe.batch_rows):
            steps.append(micro_batches(order[start : start + recipe.batch_rows], lengths, recipe.micro_tokens))
    return steps[: recipe.max_steps]


def heaviest(lengths: Sequence[int], recipe: Recipe) -> Micro:
    """The micro-batch of the run with the most tokens, padding included: what fits it fits them all."""
    micros = (micro for step in plan(lengths, recipe) for micro in step)
    return max(micros, key=lambda micro: len(micro) * max(lengths[row] for row in micro))


def micro_batches(rows: Sequence[int], lengths: Sequence[int], micro_tokens: int) -> Step:
    """`rows` sorted by length and cut so that no micro-batch exceeds `micro_tokens`; a longer row goes alone."""
    cut: list[list[int]] = []
    for row in sorted(rows, key=lambda r: (lengths[r], r)):
        # The newest row is the longest, so it sets the width that all of its micro-batch are padded to.
        if cut and lengths[row] * (len(cut[-1]) + 1) <= micro_tokens:
            cut[-1].append(row)
        else:
            cut.append([row])
    return tuple(tuple(micro) for micro in cut)
