"""Whether rows that go through the model together see each other: tried on this model, precision and attention kernel.

transformers tells packed rows apart by positions that begin again, and only where it gets neither a mask nor a cache;
adapters that put tokens of their own in front drop the positions. None of that raises anything: the loss is merely
that of another text. So a row's logits are computed alone and in company, and compared. Knows nothing of methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from luthier.errors import BadConfig
from luthier.training.method import Item

TOKENS = 48
"""Tokens of each row that are tried."""
EXACT = 1e-5
"""Largest difference of a logit, as a share of the largest logit, between a row alone and in company, in float32."""
ROUNDED = 0.06
"""The same in bfloat16, where products of another shape round otherwise, and on a quantised base."""


@torch.no_grad()
def check(model: PreTrainedModel, items: Sequence[Item], pad: int, *, packed: bool, exact: bool = True) -> None:
    """Refuse a model in which a row's logits depend on the rows beside it. Costs five passes over a few dozen tokens.

    `packed` also tries rows one behind the other; `exact` is false on a quantised base. Raises BadConfig.
    """
    row, other = (list(item.ids[:TOKENS]) for item in (items[0], items[-1]))
    other += row[: max(0, len(row) + 1 - len(other))]  # longer, so that the row is padded beside it
    vocabulary = model.get_input_embeddings().weight.shape[0]
    another = [(token + 1) % vocabulary for token in reversed(other)]
    model.eval()
    alone_TV = logits(model, [row])[0]
    scale = max(1.0, float(alone_TV.abs().max()))
    rounded = not exact or next(model.parameters()).dtype != torch.float32

    def compare(seen: Sequence[torch.Tensor], what: str, mend: str) -> None:
        beside, swapped = seen
        off = float((beside - alone_TV).abs().max()) / scale
        leaked = (
            float((beside - swapped).abs().max()) / scale
        )  # same shapes, same kernels: rounds alike in any precision
        if not (off <= (ROUNDED if rounded else EXACT) and leaked <= (EXACT if exact else ROUNDED)):
            raise BadConfig(f"a row's logits change by {max(off, leaked):.2g} of the largest {what}", mend)

    filler = [pad] * (len(other) - len(row))
    sides = [logits(model, [row + filler, each])[0, : len(row)] for each in (other, another)]
    compare(sides, "when a longer row goes beside it", "set micro_tokens: 16, which trains the rows one by one")
    if packed:
        places = [[*range(len(other)), *range(len(row))]]
        behind = [logits(model, [each + row], places)[0, len(other) :] for each in (other, another)]
        compare(
            behind,
            "when another is packed before it",
            "say packing: false; this model or adapter does not keep rows apart",
        )


def logits(
    model: PreTrainedModel, ids_BT: list[list[int]], positions_BT: list[list[int]] | None = None
) -> torch.Tensor:
    """What the model says at each token, (B, T, V) in float32; the last hidden states of one that only scores."""
    ids = torch.tensor(ids_BT, device=model.device)
    places = {} if positions_BT is None else {"position_ids": torch.tensor(positions_BT, device=model.device)}
    out = model(input_ids=ids, attention_mask=None, use_cache=False, output_hidden_states=True, **places)
    whole: torch.Tensor = out.logits if out.logits.dim() == 3 else out.hidden_states[-1]
    return whole[:, -ids.shape[1] :].float()  # soft prompts stand in front


@torch.no_grad()
def guesses(model: PreTrainedModel, items: Sequence[Item]) -> str | None:
    """One sentence where the untrained base reads its rows no better than by guessing, else None.

    A tokenizer that does not belong to the weights shows here and nowhere else: every id is known, every text renders.
    """
    model.eval()
    ids = list(items[0].ids[: 4 * TOKENS])
    said_TV = logits(model, [ids])[0]
    if said_TV.shape[-1] < max(ids) + 1 or len(ids) < 2:  # scores, not words
        return None
    loss = float(torch.nn.functional.cross_entropy(said_TV[:-1], torch.tensor(ids[1:], device=said_TV.device)))
    chance = math.log(said_TV.shape[-1])
    if loss < chance:
        return None
    return (
        f"the untrained base reads row {items[0].row} with a loss of {loss:.2f}, and guessing among its "
        f"{said_TV.shape[-1]} tokens has {chance:.2f}: do its weights and its tokenizer belong together?"
    )
