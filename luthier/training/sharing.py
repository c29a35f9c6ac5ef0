"""Whether a model may read a prompt once for several answers: tried on the model itself, and where it may not, the
answers go through it in rows of their own.

Apart go: models that lose positions or masks on the way (soft prompts in front, position biases, recurrent layers),
and batches that reach beyond a sliding window, for which only transformers knows which layers have it.
Knows nothing of losses.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from luthier.training.method import Item
from luthier.training.tree import Tree, apart, lay_out, visible

EXACT, ROUNDED = 1e-4, 0.06
"""Largest difference of a hidden number, as a share of the largest one, in float32 and in coarser precisions."""
PROMPT, ANSWER = 12, 20
"""Tokens of the row that is tried."""
WINDOWS = ("sliding_window", "attention_chunk_size")

tried: WeakKeyDictionary[torch.nn.Module, bool] = WeakKeyDictionary()


class View(NamedTuple):
    """A batch as it goes through the model, and what the model is called with."""

    tree: Tree
    inputs: dict[str, Any]


def view(model: PreTrainedModel, tree: Tree) -> View:
    """The batch with its prompts shared where the model keeps answers apart, else with a row for each answer."""
    if not tree.single:
        if may_share(model) and not beyond_window(model, tree):
            return View(tree, inputs(model, tree))
        tree = apart(tree)
    # Plain rows padded on the right: causal attention never looks at the padding. No mask may be given with them.
    return View(tree, {"input_ids": tree.ids_BT.to(model.device), "attention_mask": None, "use_cache": False})


def inputs(model: PreTrainedModel, tree: Tree) -> dict[str, Any]:
    """Ids, positions and mask of rows with several answers."""
    visible_BHTT = visible(tree).to(model.device)
    mask_BHTT = visible_BHTT
    if model.config._attn_implementation != "sdpa":  # the others add their mask to the products
        dtype = model.get_input_embeddings().weight.dtype
        mask_BHTT = torch.zeros(visible_BHTT.shape, dtype=dtype, device=model.device)
        mask_BHTT.masked_fill_(~visible_BHTT, torch.finfo(dtype).min)
    ids_BT, positions_BT = (t.to(model.device) for t in (tree.ids_BT, tree.positions_BT))
    return {"input_ids": ids_BT, "position_ids": positions_BT, "attention_mask": mask_BHTT, "use_cache": False}


def beyond_window(model: PreTrainedModel, tree: Tree) -> bool:
    """Whether an answer is so far from its prompt's start that a layer with a window would not see all of it."""
    windows = [size for name in WINDOWS if isinstance(size := getattr(model.config, name, None), int)]
    return bool(windows) and int(tree.positions_BT.max()) >= min(windows)


def may_share(model: PreTrainedModel) -> bool:
    """Whether the model says of two answers behind one prompt what it says of each alone. Tried once for a model."""
    if model not in tried:
        tried[model] = shares(model)
    return tried[model]


@torch.no_grad()
def shares(model: PreTrainedModel) -> bool:
    """Compare the hidden states of a made-up row read both ways. Draws no random number."""
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return False
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    ids = [(7 * t + t * t) % vocabulary for t in range(PROMPT + 2 * ANSWER)]
    learnt = [t >= PROMPT for t in range(len(ids))]
    tree = lay_out([Item("tried", ids, learnt, (PROMPT, PROMPT + ANSWER))], 0)
    if beyond_window(model, tree):
        return False
    was_training = model.training
    model.eval()
    alone = apart(tree)
    try:
        alone_BTH = hidden(model, {"input_ids": alone.ids_BT.to(model.device), "use_cache": False})[:, PROMPT:]
        together_TH = hidden(model, inputs(model, tree))[0, PROMPT:]
    except (RuntimeError, ValueError, TypeError, IndexError):  # a forward pass that knows no such mask or positions
        return False
    finally:
        model.train(was_training)
    alone_TH = alone_BTH.flatten(0, 1)
    exact = next(model.parameters()).dtype == torch.float32
    difference = (together_TH - alone_TH).abs().max() / alone_TH.abs().max().clamp(min=1e-6)
    return float(difference) <= (EXACT if exact else ROUNDED)


def hidden(model: PreTrainedModel, given: dict[str, Any]) -> torch.Tensor:
    """The last hidden states, (B, T, H) in float32."""
    last: torch.Tensor = model(**given, output_hidden_states=True).hidden_states[-1].float()
    return last
