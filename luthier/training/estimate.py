"""What a run will take before it begins: memory, time, energy and cost, here or on a named GPU, and what would fit.

Memory is added up from what is known: the process, the weights, four float32 numbers for each trained one, and the
activations of the heaviest micro-batch as `traced` finds them. Time on this machine is extrapolated from one and three
layers of the model that really run, at lengths from the run's own plan; a GPU that is not here is taken from its data
sheet and a stated share of its peak. Knows nothing of ledgers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from safetensors import safe_open
from transformers import AutoConfig

from luthier.errors import BadData, RunFailed, UnknownName
from luthier.lm.chat import Chat
from luthier.lm.pull import local
from luthier.records.data import Row
from luthier.records.training import Recipe
from luthier.training import machine, traced
from luthier.training.batches import Micro, heaviest, plan
from luthier.training.method import Item, Method
from luthier.training.optimiser import Optimiser
from luthier.training.settings import Room
from luthier.training.sft import collate, loss, pack

SAMPLE = 256
"""Rows that are tokenised for an estimate; longer datasets are taken to go on like them."""
MASTER = 16
"""Bytes a trained number costs besides its weight: the float32 copy, its gradient and two moments."""
SLACK = {"cpu": 1.3, "cuda": 1.1}
"""What the allocator holds for each byte of activations: freed blocks of many sizes leave gaps (measured on a CPU)."""
TIDY = 0.9
"""Share of its estimate from which on a run gives back memory that it does not use."""
CONTEXT = 600_000_000
"""Bytes that a process takes of a GPU before it does anything."""
SHARE = 0.4
"""Share of its peak that a GPU is taken to reach, where it cannot be tried."""
ROOM = 0.92
"""Share of the memory that a run may plan with."""
SHAPES = 4
"""Micro-batches of the plan whose time is measured: from the lightest to the heaviest."""
LAYERS = (1, 3)
"""Layers of the model that are timed; the others cost as much as the difference says."""


class Gpu(NamedTuple):
    """A device by its data sheet: GiB, TFLOP/s in bfloat16, GB/s, watts."""

    memory: float
    tflops: float
    bandwidth: float
    watts: float


class Memory(NamedTuple):
    """Bytes at the worst moment of a run."""

    process: int
    weights: int
    trained: int
    activations: int
    """Or the second model that is read when the run ends, to try its result, where that is more."""

    @property
    def total(self) -> int:
        return sum(self)


class Pace(NamedTuple):
    """How long the steps of a run take, and how busy the machine is with products meanwhile."""

    seconds: float
    operations: float
    rate: float
    """Floating-point operations a second that this device reaches in large products."""

    @property
    def utilisation(self) -> float:
        """Share of that rate that training reaches."""
        return self.operations / self.rate / self.seconds


class Estimate(NamedTuple):
    """What a run will take."""

    device: str
    memory: Memory
    limit: int
    """Bytes that the device has."""
    steps: int
    tokens: int
    """Over all steps, without padding."""
    pace: Pace
    advice: tuple[str, ...]
    """Where it does not fit: the smallest changes after which it does, or that none was found."""

    @property
    def fits(self) -> bool:
        return self.memory.total <= ROOM * self.limit


@cache
def gpus() -> dict[str, Gpu]:
    """The devices whose data sheet is known, by name."""
    text = (files("luthier.training") / "gpus.yaml").read_text(encoding="utf-8")
    return {name: Gpu(**sheet) for name, sheet in yaml.safe_load(text).items()}


def gpu(name: str) -> Gpu:
    """The device called `name`. Raises UnknownName with those there are."""
    if name not in gpus():
        raise UnknownName(f"no data sheet of a GPU called {name!r}", f"there are: {', '.join(gpus())}")
    return gpus()[name]


def sample(rows: Sequence[Row], method: Method, chat: Chat, recipe: Recipe) -> list[Item]:
    """As many items as `rows`, the first few of which are really tokenised and stand for the others.

    Rows that cannot be trained on are left to the pre-flight. Raises BadData where none can.
    """
    made: list[Item] = []
    for row in rows[:: max(1, len(rows) // SAMPLE)]:
        try:
            made.append(method.prepare(row, chat))
        except BadData:
            continue
    fitting = [item for item in made if len(item.ids) <= recipe.max_length]
    if not fitting:
        raise BadData(f"none of {len(made)} rows has at most {recipe.max_length} tokens", "raise max_length")
    return [fitting[place % len(fitting)] for place in range(len(rows))]


def memory(recipe: Recipe, items: Sequence[Item], *, on_gpu: bool | None = None) -> Memory:
    """Bytes that a run of the resolved `recipe` needs at its worst moment; `on_gpu`: of the device's memory.

    The process is this one as it is now: what it has imported, a run imports too.
    """
    cuda = torch.cuda.is_available() if on_gpu is None else on_gpu
    seen = trace_heaviest(recipe, items, cuda or recipe.max_length > 2048)
    slack = SLACK["cuda" if cuda else "cpu"]
    process = CONTEXT if cuda else machine.resident()
    again = seen.weights + (0 if cuda else converted(recipe))
    return Memory(process, seen.weights, MASTER * seen.trainable, max(int(slack * seen.alive), again))


def converted(recipe: Recipe) -> int:
    """Bytes of the base's files where its weights are not read as they lie there: then both are in memory at once."""
    paths = list(local(recipe.base).glob("*.safetensors"))
    size = sum(path.stat().st_size for path in paths)
    with safe_open(paths[0], "pt") as file:
        kept = file.get_slice(next(iter(file.keys()))).get_dtype()
    return 0 if kept == {"float32": "F32", "bfloat16": "BF16"}.get(recipe.dtype) else size


def room(rows: Sequence[Row], method: Method, chat: Chat, recipe: Recipe) -> Room | None:
    """What `auto` asks about memory for a run on `rows`; None where no row can be trained on."""
    try:
        items = sample(rows, method, chat, recipe)
    except BadData:  # the pre-flight says it better
        return None
    return Room(lambda resolved: memory(resolved, items).total, int(ROOM * machine.memory()))


def pace_of(recipe: Recipe, items: Sequence[Item]) -> dict[str, float]:
    """What utilisation is reckoned from: operations a token in the heaviest micro-batch, and this machine's rate."""
    micro = heaviest([len(item.ids) for item in items], recipe)
    whole = trace_heaviest(recipe, items, False).operations
    dtype = torch.bfloat16 if recipe.dtype == "bfloat16" else torch.float32
    return {"operations": whole / sum(len(items[row].ids) for row in micro), "rate": machine.matmul_rate(dtype)}


TRACED: dict[tuple[object, ...], traced.Trace] = {}
"""A run asks several times about one micro-batch."""


def trace_heaviest(recipe: Recipe, items: Sequence[Item], fused: bool) -> traced.Trace:
    """The heaviest micro-batch of the run, traced."""
    micro = [items[row] for row in heaviest([len(item.ids) for item in items], recipe)]
    key = (recipe.id, fused, *((len(item.ids), item.targets) for item in micro))
    if key not in TRACED:
        TRACED[key] = traced.trace(recipe, micro, fused=fused)
    return TRACED[key]


def check_memory(recipe: Recipe, items: Sequence[Item]) -> Memory:
    """What the run needs. Raises RunFailed, with what to change, where this machine does not have it free."""
    needed = memory(recipe, items)
    free = machine.memory(free=True) + (0 if torch.cuda.is_available() else machine.resident())
    if needed.total > free:
        raise RunFailed(
            f"the run needs {needed.total / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free",
            "; ".join(advice(recipe, items, free, on_gpu=torch.cuda.is_available())),
        )
    return needed


def budget(rows: Sequence[Row], method: Method, chat: Chat, recipe: Recipe) -> int:
    """Bytes that a run of the resolved `recipe` may take before it tidies up. Asked before the weights are read.

    Raises RunFailed where it cannot fit. 0 where no row can be trained on, which the pre-flight says better.
    """
    try:
        items = sample(rows, method, chat, recipe)
    except BadData:
        return 0
    return int(TIDY * check_memory(recipe, items).total)


def advice(recipe: Recipe, items: Sequence[Item], limit: int, *, on_gpu: bool) -> tuple[str, ...]:
    """The first single change after which the run fits into `limit` bytes, then each that has to join it."""
    assert isinstance(recipe.micro_tokens, int)
    longest = max(len(item.ids) for item in items)
    changes: list[tuple[str, dict[str, Any]]] = [("set recompute: true", {"recompute": True})]
    halves = [tokens for tokens in (recipe.micro_tokens // 2, recipe.micro_tokens // 4) if tokens >= longest]
    changes += [(f"set micro_tokens: {tokens}", {"micro_tokens": tokens}) for tokens in halves]
    if recipe.dtype == "float32":
        changes.append(("set dtype: bfloat16", {"dtype": "bfloat16"}))
    if recipe.lora is None and recipe.adapter is None:
        changes.append(
            ("train a LoRA adapter instead of every weight", {"lora": type(recipe).model_fields["lora"].default})
        )
    elif recipe.lora and recipe.quantised == "none":
        changes.append(("set quantised: nf4", {"quantised": "nf4"}))
    told: list[str] = []
    together: dict[str, Any] = {}
    for said, change in changes:
        if memory(recipe.model_copy(update=change), items, on_gpu=on_gpu).total <= limit:
            return (said,)
        told, together = [*told, said], together | change
        if memory(recipe.model_copy(update=together), items, on_gpu=on_gpu).total <= limit:
            return tuple(told)
    return (f"not even with all of these: {', '.join(told)}; take a smaller base, or leave out the longest rows",)


def estimate(recipe: Recipe, items: Sequence[Item], on: str | None = None) -> Estimate:
    """What a run of the resolved `recipe` on `items` takes on this machine, or on the GPU called `on`."""
    sheet = gpu(on) if on else None
    cuda = torch.cuda.is_available() or sheet is not None
    needed = memory(recipe, items, on_gpu=cuda)
    limit = int(sheet.memory * 2**30) if sheet else machine.memory()
    steps = plan([len(item.ids) for item in items], recipe)
    micros = [micro for step in steps for micro in step]
    fits = needed.total <= ROOM * limit
    return Estimate(
        device=on or "this machine",
        memory=needed,
        limit=limit,
        steps=len(steps),
        tokens=sum(len(items[row].ids) for micro in micros for row in micro),
        pace=by_sheet(recipe, items, micros, sheet) if sheet else tried(recipe, items, micros, len(steps)),
        advice=() if fits else advice(recipe, items, int(ROOM * limit), on_gpu=cuda),
    )


def operations(recipe: Recipe, items: Sequence[Item], micros: Sequence[Micro]) -> float:
    """Floating-point operations of the whole run: each shape's tokens and pairs of tokens, at what the heaviest costs.

    Attention's share grows with the square of the length and the head's with the learnt tokens; both are known, and
    what is left of the traced micro-batch grows with its tokens.
    """
    lengths = [len(item.ids) for item in items]
    config = AutoConfig.from_pretrained(local(recipe.base), local_files_only=True)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    pair = 12.0 * config.num_hidden_layers * config.num_attention_heads * head
    learnt = (4.0 if recipe.lora or recipe.adapter else 6.0) * config.hidden_size * config.vocab_size

    def known(micro: Micro) -> float:
        width = max(lengths[row] for row in micro)
        return float(pair * len(micro) * width**2 + learnt * sum(items[row].targets for row in micro))

    def padded(micro: Micro) -> int:
        return len(micro) * max(lengths[row] for row in micro)

    heavy = heaviest(lengths, recipe)
    a_token = (trace_heaviest(recipe, items, False).operations - known(heavy)) / padded(heavy)
    return sum(a_token * padded(micro) + known(micro) for micro in micros)


def by_sheet(recipe: Recipe, items: Sequence[Item], micros: Sequence[Micro], sheet: Gpu) -> Pace:
    """The pace on a GPU that is not here: its peak, of which training is taken to reach `SHARE`."""
    whole = operations(recipe, items, micros)
    return Pace(whole / (SHARE * sheet.tflops * 1e12), whole, sheet.tflops * 1e12)


def tried(recipe: Recipe, items: Sequence[Item], micros: Sequence[Micro], steps: int) -> Pace:
    """The pace on this machine, from a few micro-batches through the first layers of the model."""
    lengths = [len(item.ids) for item in items]
    by_size = sorted(micros, key=lambda micro: len(micro) * max(lengths[row] for row in micro))
    places = sorted({round(q * (len(by_size) - 1)) for q in np.linspace(0, 1, SHAPES)})
    chosen = [[items[row] for row in by_size[place]] for place in places]
    few, more = (time_layers(recipe, chosen, layers) for layers in LAYERS)
    config = AutoConfig.from_pretrained(local(recipe.base), local_files_only=True)
    further = (config.num_hidden_layers - LAYERS[0]) / (LAYERS[1] - LAYERS[0])
    *shapes, update = (max(a, a + further * (b - a)) for a, b in zip(few, more, strict=True))
    sizes = [len(micro) * max(len(item.ids) for item in micro) for micro in chosen]
    own = [len(micro) * max(lengths[row] for row in micro) for micro in micros]
    seconds = float(np.interp(own, sizes, shapes).sum()) + steps * update
    dtype = torch.bfloat16 if recipe.dtype == "bfloat16" else torch.float32
    return Pace(seconds, operations(recipe, items, micros), machine.matmul_rate(dtype))


def time_layers(recipe: Recipe, micros: Sequence[Sequence[Item]], layers: int) -> list[float]:
    """Seconds of each micro-batch, forward, backward and gathered, and last of one update; the better of two goes."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    attention = "sdpa" if device.type == "cuda" or recipe.max_length > 2048 else "eager"
    model = traced.skeleton(recipe, attention, device, layers)
    if recipe.recompute is True:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    optimiser = Optimiser(model, recipe)

    def once(micro: Sequence[Item]) -> None:
        found = loss(model, (pack if recipe.packing else collate)(micro, 0))
        torch.autograd.backward(found.total)
        optimiser.gather()

    def seconds(work: Any, *given: Any) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        work(*given)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    once(micros[0])  # kernels are chosen and memory is asked for the first time
    spent = [min(seconds(once, micro) for _ in range(2)) for micro in micros]
    first = seconds(optimiser.step, 1, 1e-9)
    once(micros[0])
    return [*spent, min(first, seconds(optimiser.step, 1, 1e-9))]
