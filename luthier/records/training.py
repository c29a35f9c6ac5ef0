"""What to train and what came of it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from luthier.records.base import Happening, Made, Parent, Value


class LoraSpec(Value):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), in PEFT's terms."""

    rank: int = Field(default=16, ge=1, le=256)
    """Rank of the update of each adapted layer."""
    alpha: int | None = Field(default=None, ge=1)
    """Scale numerator; left out: equal to the rank."""
    rank_stabilised: bool = True
    """Scale by alpha / sqrt(rank) (Kalajdzievski 2023, arXiv:2312.03732)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapters' inputs that is dropped while training."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """The layers that get an adapter: every linear one but the output, or these names."""


class TrainingSettings(Value):
    """How to train: what a project file may set, and what a recipe keeps."""

    method: str = "sft"
    """What is learnt: an extension of kind `method`."""
    lora: LoraSpec | None = LoraSpec()
    """Null trains every weight."""
    learning_rate: float | Literal["auto"] = "auto"
    """Highest learning rate of AdamW."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate falls after the warm-up: to 0 in a line or half a cosine, or not at all."""
    warmup: float = Field(default=0.05, ge=0, le=1)
    """Share of the steps in which the rate climbs from 0."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of AdamW."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    epochs: int = Field(default=2, ge=1)
    """How many times each row is seen."""
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after this many steps, whatever `epochs` says."""
    batch_rows: int | Literal["auto"] = "auto"
    """Rows per step, accumulated over as many micro-batches as `micro_tokens` asks for."""
    micro_tokens: Annotated[int, Field(ge=16)] | Literal["auto"] = "auto"
    """Most tokens (padding included) that go through the model at once."""
    max_length: int = Field(default=1024, ge=16)
    """Longest row in tokens."""
    too_long: Literal["refuse", "drop"] = "refuse"
    """What becomes of longer rows: the run is refused, or they are left out and counted. None is ever cut."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the base's weights; `auto` takes bfloat16 where the processor has it."""
    checkpoint_every: int = Field(default=20, ge=1)
    """Steps between checkpoints."""
    seed: int = 0
    """Fixes the order of the rows, the adapters' first weights and the dropout."""


class Recipe(Made, TrainingSettings):
    """How to train a base. `auto` values are resolved before a run, printed, and kept as numbers in its own recipe."""

    kind: ClassVar[str] = "recipe"
    name: str = "sft"
    """What people call it."""
    base: str
    """A name in the catalogue of base models, or a folder."""


class Run(Happening):
    """One training run. Its state (running, failed, done) is folded from its events."""

    kind: ClassVar[str] = "run"
    recipe: str
    dataset: str
    base_digest: str
    machine: dict[str, str] = {}
    """torch build, processor and thread count: byte-equality is promised for equal ones only."""
    code: str = ""
    """Version of Luthier and of every extension that took part."""
    on_top_of: str | None = None
    """The model version whose adapter this run continues."""

    def parents(self) -> tuple[Parent, ...]:
        own = (Parent("recipe", self.recipe), Parent("dataset", self.dataset))
        return own + ((Parent("on_top_of", self.on_top_of),) if self.on_top_of else ())


class ModelVersion(Made):
    """What a run left: an adapter (or a whole model) by the digests of its files, and what it has to be served with."""

    kind: ClassVar[str] = "model"
    name: str
    base: str
    base_digest: str
    template_digest: str
    """sha256 of the chat template that it was trained with: an engine with another one is refused."""
    tokenizer_digest: str
    files: dict[str, str]
    """File name to blob digest: PEFT's folder, or safetensors of the whole model; empty for an untouched base."""
    run: str | None = None
    dataset: str | None = None
    rank: int | None = None
    figures: dict[str, float] = {}
    """Final loss, tokens trained, seconds: what the run measured."""
    base_licence: str = ""
    """Licence of the base model's weights, as an SPDX identifier such as `Apache-2.0`."""

    def parents(self) -> tuple[Parent, ...]:
        pairs = (("run", self.run), ("dataset", self.dataset))
        return tuple(Parent(role, parent) for role, parent in pairs if parent)

    def blobs(self) -> tuple[str, ...]:
        return tuple(self.files.values())
