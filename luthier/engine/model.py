"""The model as the scheduler sees it: packed tokens in, logits out. Knows slots and adapters, nothing of requests.

The module is transformers' own; only its attention (`kv.attend`) and those linear layers that adapters change are
replaced. Whether that holds for a given architecture is not believed but tried, once, when the model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from luthier.engine import kv
from luthier.engine.adapter import Adapter
from luthier.engine.kv import KeyValues, Piece, Step
from luthier.engine.lora import Bank
from luthier.errors import BadConfig
from luthier.lm.load import DType, load_model

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 6e-2}  # of the largest logit


class Part(NamedTuple):
    """The next tokens of one answer, behind `past` ones, in its slot, with its adapter."""

    ids: Sequence[int]
    slot: int
    past: int
    adapter: Adapter | None = None


class LanguageModel:
    """A causal language model with `slots` answers at a time, each of at most `window` tokens."""

    def __init__(self, module: nn.Module, slots: int, window: int) -> None:
        config: Any = module.config
        self.module, self.slots, self.window = module, slots, window
        self.decoder: nn.Module = module.get_decoder()  # type: ignore[operator]
        self.bank = Bank(module)
        first = next(module.parameters())
        self.dtype, self.device = first.dtype, first.device
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self.memory = KeyValues((slots, window), heads, width, config.num_hidden_layers, first)

    @torch.inference_mode()
    def hidden(self, parts: Sequence[Part]) -> torch.Tensor:
        """The last hidden states of all tokens of the parts, one part behind the other: (N, width)."""
        counts = [len(part.ids) for part in parts]
        step = Step(self.memory, [Piece(p.slot, p.past, n) for p, n in zip(parts, counts, strict=True)], self.device)
        ids_1N = torch.tensor([[token for part in parts for token in part.ids]], device=self.device)
        with self.bank.serving([part.adapter for part in parts], counts, self.device):
            out = self.decoder(input_ids=ids_1N, position_ids=step.positions_N[None], use_cache=False, step=step)
        states_ND: torch.Tensor = out.last_hidden_state[0]
        return states_ND

    @torch.inference_mode()
    def logits(self, states_ND: torch.Tensor, adapters: Sequence[Adapter | None]) -> torch.Tensor:
        """Logits (N, vocabulary) of hidden states; the adapter of each row counts where it changes the head."""
        head = self.module.get_output_embeddings()  # type: ignore[operator]
        with self.bank.serving(adapters, [1] * len(adapters), self.device):
            logits_NV: torch.Tensor = head(states_ND)
        return logits_NV


def load(folder: Path, dtype: DType, slots: int, window: int | None) -> LanguageModel:
    """The model in `folder`. Raises BadConfig where its architecture would not be computed faithfully."""
    kv.register()
    module = load_model(folder, dtype)
    longest = getattr(module.config, "max_position_embeddings", None) or 2048
    if window is not None and window > longest:
        raise BadConfig(f"{folder.name} reads {longest} tokens at most", f"ask for --max-model-len {longest} or less")
    model = LanguageModel(module, slots, window or min(longest, 8192))
    check(model, folder.name)
    return model


@torch.inference_mode()
def check(model: LanguageModel, name: str) -> None:
    """Compare our packed, cached pass with the model's own plain one, and take over its attention if they agree."""
    vocabulary: int = model.module.config.vocab_size  # type: ignore[union-attr,assignment]
    ids = [(7 * n * n + 3) % vocabulary for n in range(1, 25)]
    plain_V = model.module(torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1].float()
    model.module.set_attn_implementation(kv.NAME)  # type: ignore[operator]
    mend = "serve it with vLLM and give Luthier its URL"
    try:
        model.hidden([Part(ids[:15], 1 % model.slots, 0)])
        if model.slots > 1:
            model.memory.copy(1, 0, 15)
        model.hidden([Part(ids[15:-1], 0, 15)])
        ours_V = model.logits(model.hidden([Part(ids[-1:], 0, len(ids) - 1)]), [None])[0].float()
    except (AttributeError, TypeError, RuntimeError, IndexError, KeyError) as error:
        raise BadConfig(f"the architecture of {name} is not served by this engine ({error})", mend) from error
    off = float((plain_V - ours_V).abs().max() / plain_V.abs().max())
    if not off <= TOLERANCE.get(model.dtype, 6e-2):
        raise BadConfig(f"the architecture of {name} is not computed faithfully (logits off by {off:.1%})", mend)
