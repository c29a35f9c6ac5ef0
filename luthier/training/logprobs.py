"""What a model says of the answers of a batch: the log-probability of each, from one pass.

Logits are computed at the positions that predict a learnt token and nowhere else, as in supervised fine-tuning.
Knows nothing of preferences.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from luthier.records.training import Recipe
from luthier.training.batches import micro_batches
from luthier.training.method import Item
from luthier.training.sharing import view
from luthier.training.tree import Tree, lay_out


def logprobs(model: PreTrainedModel, tree: Tree) -> torch.Tensor:
    """Summed log-probability of the learnt tokens of each text, (S,) in float32: answers, then learnt prompts."""
    seen, given = view(model, tree)
    predicting_N, targets_N, text_N = (t.to(model.device) for t in (seen.predicting_N, seen.targets_N, seen.text_N))

    def pick(head: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0].flatten(0, 1)[predicting_N],)

    # In front of the head, so that what a model does to its logits afterwards (Gemma caps them) is done to ours too.
    hook = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        logits_NV = model(**given).logits
    finally:
        hook.remove()
    said_N = -cross_entropy(logits_NV.float(), targets_N, reduction="none")
    return said_N.new_zeros(len(tree.lengths_S)).index_add(0, text_N, said_N)


@torch.no_grad()
def said_before(model: PreTrainedModel, items: Sequence[Item], recipe: Recipe, pad: int) -> list[tuple[float, ...]]:
    """What the model says of each item's answers as it is now, without dropout: one log-probability an answer."""
    assert isinstance(recipe.micro_tokens, int)
    was_training = model.training
    model.eval()
    said: dict[int, tuple[float, ...]] = {}
    lengths = [len(item.ids) for item in items]
    for micro in micro_batches(range(len(items)), lengths, recipe.micro_tokens):
        answers = iter(logprobs(model, lay_out([items[i] for i in micro], pad)).tolist())
        for i in micro:
            said[i] = tuple(next(answers) for _ in items[i].branches)
    model.train(was_training)
    return [said[i] for i in range(len(items))]


def remember(model: PreTrainedModel, items: Sequence[Item], recipe: Recipe, pad: int) -> list[Item]:
    """The items, each knowing what the untrained model says of its answers: the reference, once for the run."""
    before = said_before(model, items, recipe, pad)
    return [item._replace(known=known) for item, known in zip(items, before, strict=True)]
