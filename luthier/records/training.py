"""What to train and what came of it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from luthier.records.base import Happening, Made, Parent, Value


class LoraSpec(Value):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), in PEFT's terms."""

    variant: Literal["plain", "dora", "pissa"] = "plain"
    """`dora` also learns each output's length (Liu et al. 2024, arXiv:2402.09353); `pissa` begins with the weights'
    largest singular vectors (Meng et al. 2024, arXiv:2404.02948)."""

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
    rate_ratio: float = Field(default=1.0, ge=1)
    """How many times faster B learns than A: LoRA+ takes 16 (Hayou et al. 2024, arXiv:2402.12354)."""


class BottleneckSpec(Value):
    """Small networks behind attention and feed-forward part of each layer (Houlsby et al. 2019, arXiv:1902.00751)."""

    kind: Literal["bottleneck"]
    """Small networks between the layers' parts."""
    width: int = Field(default=64, ge=1)
    """Numbers between the way down and the way up."""
    where: Literal["both", "feed-forward"] = "both"
    """Behind both parts of a layer, or the second alone (Pfeiffer et al. 2020, arXiv:2005.00247)."""


class Ia3Spec(Value):
    """One learnt factor for each key, value and inner feature (Liu et al. 2022, arXiv:2205.05638)."""

    kind: Literal["ia3"]
    """Factors alone."""


class PrefixSpec(Value):
    """Learnt keys and values in front of every layer's own (Li and Liang 2021, arXiv:2101.00190)."""

    kind: Literal["prefix"]
    """Keys and values in front."""
    tokens: int = Field(default=16, ge=1, le=512)
    """Length of the prefix."""


class PromptSpec(Value):
    """Learnt embeddings in front of the prompt (Lester et al. 2021, arXiv:2104.08691)."""

    kind: Literal["prompt"]
    """Embeddings in front."""
    tokens: int = Field(default=16, ge=1, le=512)
    """How many."""
    text: str = ""
    """Words whose embeddings they begin with; none: drawn from the vocabulary."""


AdapterSpec = Annotated[BottleneckSpec | Ia3Spec | PrefixSpec | PromptSpec, Field(discriminator="kind")]


class WatchSpec(Value):
    """Answering questions of the validation rows while training, to keep the best weights and to stop in time."""

    scorer: str = "f1"
    """How answers are marked: an extension of kind `scorer`."""
    every: int = Field(default=20, ge=1)
    """Steps between two looks."""
    rows: int = Field(default=16, ge=1)
    """Validation rows that are answered at each."""
    patience: int | None = Field(default=None, ge=1)
    """Looks without a better mean after which the run ends; none: it runs to its end."""
    max_tokens: int = Field(default=64, ge=1)
    """Longest answer in tokens."""


class TrainingSettings(Value):
    """How to train: what a project file may set, and what a recipe keeps."""

    method: str = "sft"
    """What is learnt: an extension of kind `method`."""
    options: dict[str, Any] = {}
    """What the method itself asks for, such as `beta`: its page names each."""
    lora: LoraSpec | None = LoraSpec()
    """Null trains every weight."""
    adapter: AdapterSpec | None = None
    """Another kind of adapter in place of LoRA: `bottleneck`, `ia3`, `prefix` or `prompt`."""
    quantised: Literal["none", "int8", "nf4"] = "none"
    """Precision of the frozen base below an adapter (QLoRA, Dettmers et al. 2023, arXiv:2305.14314)."""
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
    epochs: Annotated[int, Field(ge=1)] | Literal["auto"] = 2
    """How many times each row is seen; `auto`: more often where rows are few."""
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
    packing: bool = False
    """Rows of a micro-batch one behind the other instead of padded side by side; each still sees itself alone."""
    recompute: bool | Literal["auto"] = "auto"
    """Forget activations and compute them again backwards: less memory, a third slower. `auto`: where it must be."""
    watch: WatchSpec | None = None
    """Keep the weights that answer best, not the last ones."""
    checkpoint_every: int = Field(default=20, ge=1)
    """Steps between checkpoints."""
    seed: int = 0
    """Fixes the order of the rows, the adapters' first weights and the dropout."""

    @model_validator(mode="before")
    @classmethod
    def one_adapter(cls, given: Any) -> Any:
        """Whoever names another adapter does not have to say `lora: null` as well."""
        if isinstance(given, dict) and given.get("adapter") is not None:
            if given.get("lora") is not None:
                raise ValueError("`lora` and `adapter` are both given: leave one out")
            return given | {"lora": None}
        return given

    @model_validator(mode="after")
    def fits(self) -> TrainingSettings:
        """Settings that go together."""
        if self.quantised != "none" and not self.lora:
            raise ValueError("a quantised base is frozen: give `lora`, or leave `quantised` out")
        return self


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
    made_from: str | None = None
    """The model that this one is a compressed form of."""
    base_licence: str = ""
    """Licence of the base model's weights, as an SPDX identifier such as `Apache-2.0`."""

    def parents(self) -> tuple[Parent, ...]:
        pairs = (("run", self.run), ("dataset", self.dataset), ("made_from", self.made_from))
        return tuple(Parent(role, parent) for role, parent in pairs if parent)

    def blobs(self) -> tuple[str, ...]:
        return tuple(self.files.values())
