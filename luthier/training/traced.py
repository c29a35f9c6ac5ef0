"""One forward and backward pass without numbers: which bytes would be alive at once, and how many operations it takes.

The model is built on torch's `meta` device, where tensors have shapes and no contents, so a model of any size is
traced on any machine in about a second, and whatever its architecture and adapter do is counted as they do it.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from luthier.lm import adapters, bottleneck, vectors
from luthier.lm.pull import local
from luthier.records.training import BottleneckSpec, Recipe
from luthier.training.method import Item
from luthier.training.sft import collate, loss, pack

FUSED = "traced_fused"
"""Name of the stand-in for fused attention."""
STORED = {"none": None, "int8": 1.03, "nf4": 0.53}
"""Bytes a weight of a quantised linear layer takes, with its scales."""


class Trace(NamedTuple):
    """What a micro-batch costs. Bytes and floating-point operations."""

    weights: int
    """Of the model as it lies in memory, adapter included."""
    trainable: int
    """Numbers that are trained."""
    alive: int
    """The most bytes of activations and gradients at once."""
    operations: float
    """Of its matrix products, forward and backward; weights that are frozen need no gradient, and none is counted."""


def trace(recipe: Recipe, items: Sequence[Item], *, fused: bool) -> Trace:
    """A micro-batch of `items` through the recipe's model; `fused` attention never holds a score for each pair."""
    model = skeleton(recipe, FUSED if fused else "eager", torch.device("meta"))
    weights = stored(model, recipe)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if recipe.recompute is True:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    batch = (pack if recipe.packing else collate)(items, 0)
    # What is there before does not count: parameters and the batch.
    alive = Alive([*model.parameters(), *model.buffers()])
    with alive:
        torch.autograd.backward(loss(model, batch).total)
    return Trace(weights, trainable, alive.most, float(alive.operations))


def skeleton(recipe: Recipe, attention: str, device: torch.device, layers: int | None = None) -> PreTrainedModel:
    """The recipe's model with its adapter and no weights (on `meta`) or random ones; with `layers` of its layers."""
    config = copy.deepcopy(AutoConfig.from_pretrained(local(recipe.base), local_files_only=True))
    if layers is not None:
        config.num_hidden_layers = layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layers]
    dtype = torch.bfloat16 if recipe.dtype == "bfloat16" else torch.float32
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
        # How an adapter begins costs nothing later; the singular vectors of no numbers cannot be had.
        plain = recipe.lora and recipe.lora.model_copy(update={"variant": "plain"} if is_pissa(recipe) else {})
        tuned: PreTrainedModel = adapters.put_on(model, plain, recipe.seed) if plain else model
        if isinstance(recipe.adapter, BottleneckSpec):
            tuned = bottleneck.put_on(model, recipe.adapter, recipe.seed)
        elif recipe.adapter:
            tuned = vectors.put_on(model, recipe.adapter, recipe.seed, local(recipe.base))
    return tuned.to(dtype)  # as adapters are on a base with weights: PEFT leaves them be on one that has none


def is_pissa(recipe: Recipe) -> bool:
    """Whether the adapter begins with singular vectors."""
    return recipe.lora is not None and recipe.lora.variant == "pissa"


def stored(model: PreTrainedModel, recipe: Recipe) -> int:
    """Bytes of the weights; frozen linear layers but the output's are smaller on a quantised base."""
    each = STORED[recipe.quantised]
    small = {
        id(module.weight)
        for name, module in model.named_modules()
        if each and isinstance(module, torch.nn.Linear) and "lora_" not in name and "lm_head" not in name
    }
    own = ((p, id(p) in small) for p in model.parameters())
    return int(sum(p.numel() * (each if less and each else p.element_size()) for p, less in own))


class Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that are alive, the most that were at once, and the operations of products.

    torch's own counter of operations holds on to tensors, which would then count as alive.
    """

    def __init__(self, known: Sequence[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: weakref.WeakSet[Any] = weakref.WeakSet(tensor.untyped_storage() for tensor in known)
        self.now = self.most = self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1  # somebody asks what a tensor holds, such as whether all positions are ordinary: say that they are
        out = func(*args, **kwargs or {})
        if count := flop_registry.get(func._overloadpacket):
            self.operations += count(*args, **kwargs or {}, out_val=out)
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and (storage := leaf.untyped_storage()) not in self.seen:
                self.seen.add(storage)
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self.gone, storage.nbytes())
        return out

    def gone(self, size: int) -> None:
        """A tensor's memory is given back."""
        self.now -= size


class Fused(torch.autograd.Function):
    """Keeps what fused attention keeps for its way back: queries, keys, values, output and one number a row."""

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(q)
        ctx.save_for_backward(q, k, v, out, torch.empty(q.shape[:-1], dtype=torch.float32, device=q.device))
        return out

    @staticmethod
    def backward(ctx: Any, *grad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(torch.empty_like(each) for each in ctx.saved_tensors[:3])


def fused_attention(
    module: torch.nn.Module, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: object, **_: object
) -> tuple[torch.Tensor, None]:
    """transformers' interface of an attention kernel, without a kernel."""
    out: torch.Tensor = Fused.apply(q, k, v)  # type: ignore[no-untyped-call]
    return out.transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register(FUSED, fused_attention)
