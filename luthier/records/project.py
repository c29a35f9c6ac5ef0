"""The project file, `luthier.yaml`: everything that one assistant is made from, by name and path."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from luthier.records.base import Value
from luthier.records.evaluation import Limit
from luthier.records.training import LoraSpec


class SourceSpec(Value):
    """One source of dialogues."""

    name: str
    path: str
    """A file, relative to the project file."""
    format: str = "chat-jsonl"
    """`chat-jsonl`, `csv`, or an installed extension of kind `source`."""
    mapping: dict[str, str] = {}
    """For tables: which column (or text with {columns}) is `user`, `assistant`, `system`, `language`, `dialogue`."""
    licence: str
    consent: str
    """The basis on which the rows may be used, e.g. `contract`."""


class DataPart(Value):
    """Where the training rows come from and how they are cleaned and split."""

    name: str = "dialogues"
    sources: tuple[SourceSpec, ...] = Field(min_length=1)
    scrubber: str = "presidio"
    allow: tuple[str, ...] = ()
    """What is nobody's and stays: the company's and its products' names, its own telephone numbers."""
    validation: float = Field(default=0.05, ge=0, lt=1)
    test: float = Field(default=0.0, ge=0, lt=1)
    most_quarantined: float = Field(default=0.1, ge=0, le=1)
    """Largest share of rows that may be refused before the build fails."""
    seed: int = 0


class KnowledgePart(Value):
    """The documents that answers are taken from."""

    name: str = "documents"
    documents: str
    """A folder of Markdown files."""
    embedder: str = "all-minilm-l6-v2"
    chunk_words: int = Field(default=120, ge=20)
    passages: int = Field(default=3, ge=1, le=20)
    """Passages that go into a prompt."""
    audience: Literal["public", "staff"] = "public"
    """Who may read a document that does not say so itself."""
    locale: str = "en"
    """Language of a document that does not say so itself."""
    search: Literal["hybrid", "bm25", "vectors"] = "hybrid"


class TrainingPart(Value):
    """The recipe; the base model stands at the top of the project file. Fields as in `Recipe`."""

    method: str = "sft"
    lora: LoraSpec | None = LoraSpec()
    learning_rate: float | Literal["auto"] = "auto"
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = 0.05
    weight_decay: float = 0.0
    clip: float = 1.0
    epochs: int = 2
    max_steps: int | None = None
    batch_rows: int | Literal["auto"] = "auto"
    micro_tokens: int = 2048
    max_length: int = 1024
    too_long: Literal["refuse", "drop"] = "refuse"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint_every: int = 20
    seed: int = 0
    most_rows: int | None = None
    """Train on at most this many rows, drawn with the seed: keeps a demonstration short."""
    unanswerable: float = Field(default=0.15, ge=0, lt=1)
    """Share of the grounded rows whose passages are made to lack the answer, so that the model learns to say so."""


class EvaluationPart(Value):
    """The suite: files of questions, and how answers are marked."""

    name: str = "support"
    questions: tuple[str, ...] = Field(min_length=1)
    scorers: tuple[str, ...] = ("facts", "cited", "answers", "abstains", "refuses")
    max_tokens: int = 96


class GatePart(Value):
    """What the tuned model has to show against the base."""

    name: str = "gate"
    limits: tuple[Limit, ...] = Field(min_length=1)


class ServingPart(Value):
    """How the assistant is served."""

    alias: str = "assistant"
    """The model name that callers use."""
    policy: str
    """A YAML file of rules."""
    instructions: str
    """The system message that training, evaluation and serving share."""
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    max_tokens: int = 96


class Project(Value):
    """One assistant. Published as JSON Schema; an unknown key is refused with its line and the nearest name."""

    name: str
    base: str
    """A name from `luthier models list`, or a folder."""
    workspace: str = ".luthier"
    data: DataPart
    knowledge: KnowledgePart
    training: TrainingPart = TrainingPart()
    evaluation: EvaluationPart
    gate: GatePart
    serving: ServingPart


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `luthier.yaml`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Project.model_json_schema()
