"""The project file, `luthier.yaml`: everything that one assistant is made from, by name and path."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from luthier.records.base import Value
from luthier.records.evaluation import Limit
from luthier.records.training import TrainingSettings


class SourceSpec(Value):
    """One source of dialogues."""

    name: str
    """Rows name their source by it."""
    path: str
    """A file, relative to the project file."""
    format: str = "chat-jsonl"
    """`chat-jsonl`, `csv`, or an installed extension of kind `source`."""
    mapping: dict[str, str] = {}
    """For tables: which column (or text with {columns}) is `user`, `assistant`, `system`, `language`, `dialogue`."""
    licence: str = ""
    """Licence of the rows, as an SPDX identifier or `proprietary`; a row's own metadata `licence` goes first."""
    consent: str = ""
    """The basis of their use, e.g. `contract` or `newsletter until 2027-01-31`; a row's own goes first."""
    origin: dict[Literal["licence", "consent", "subject", "collected"], str] = {}
    """Which metadata of a row says these; `subject` is a person's name or number, of which a keyed hash is kept."""


class DataPart(Value):
    """Where the training rows come from and how they are cleaned and split."""

    name: str = "dialogues"
    """What the dataset is called."""
    sources: tuple[SourceSpec, ...] = Field(min_length=1)
    """At least one."""
    scrubber: str = "presidio"
    """What takes personal data out: an extension of kind `scrubber`."""
    require: tuple[Literal["licence", "consent", "subject", "collected"], ...] = ("licence", "consent")
    """What each row or its source has to say; rows that lack it are refused."""
    licences: tuple[str, ...] = ()
    """Licences whose rows may be used; none named: any."""
    consents: tuple[str, ...] = ()
    """Bases that hold; rows that stand on another one, or on one that has ended, are left out. None named: any."""
    detectors: tuple[str, ...] = (
        *("short", "long", "truncated", "templated", "repetition", "refusal", "language", "encoding", "markup"),
    )
    """What looks at every row's quality: extensions of kind `detector`. Each row keeps its scores, 0 (fine) to 1."""
    limits: dict[str, float] = {}
    """Highest score of a detector that a row may have; rows above it are left out and counted."""
    near: float | None = Field(default=None, ge=0.3, le=1)
    """Similarity (Jaccard, of runs of letters) from which on one of two rows leaves; rows with other figures stay."""
    keep: Literal["first", "longest", "newest"] = "first"
    """Which of two such rows stays."""
    semantic: float | None = Field(default=None, gt=0, le=1)
    """Cosine of the embeddings from which on one of two rows leaves, whatever their words."""
    embedder: str = ""
    """What embeds the rows for `semantic`, as in `knowledge.embedder`, which it is unless it is named here."""
    surrogates: bool = False
    """Made-up values in place of placeholders: Emma Jones instead of <PERSON_1>, the same all through a dialogue."""
    vault: bool = False
    """Keep what stood there before, sealed, in the workspace's vault: see `luthier data reveal`."""
    protect: tuple[str, ...] = ()
    """Files whose questions training must not see, beside those of `evaluation.questions`."""
    leaks: Literal["refuse", "leave-out"] = "refuse"
    """What becomes of a build whose rows give such a question away: it is refused, or they are left out."""
    mixture: dict[str, float] = {}
    """Shares of sources among the training rows, by name; rows are drawn by a hash. Sources not named stay whole."""
    synthetic: float | None = Field(default=0.5, ge=0, le=1)
    """Largest share of synthetic rows among the training rows; the surplus leaves, and so do those in other splits."""
    allow: tuple[str, ...] = ()
    """What is nobody's and stays: the company's and its products' names, its own telephone numbers."""
    validation: float = Field(default=0.05, ge=0, lt=1)
    """Share of the dialogues that training only measures itself on."""
    test: float = Field(default=0.0, ge=0, lt=1)
    """Share of the dialogues that training never sees."""
    most_quarantined: float = Field(default=0.1, ge=0, le=1)
    """Largest share of rows that may be refused before the build fails."""
    seed: int = 0
    """Another seed draws other splits; with one seed a dialogue never moves."""


class KnowledgePart(Value):
    """The documents that answers are taken from."""

    name: str = "documents"
    """What the index is called."""
    documents: str
    """A folder of Markdown files."""
    embedder: str = "all-minilm-l6-v2"
    """The model that turns texts into vectors: a name from `luthier models list`, or a folder."""
    chunk_words: int = Field(default=120, ge=20)
    """Longest passage in words."""
    passages: int = Field(default=3, ge=1, le=20)
    """Passages that go into a prompt."""
    audience: Literal["public", "staff"] = "public"
    """Who may read a document that does not say so itself."""
    locale: str = "en"
    """Language of a document that does not say so itself."""
    search: Literal["hybrid", "bm25", "vectors"] = "hybrid"
    """By words (BM25), by meaning (vectors), or both merged."""


class TrainingPart(TrainingSettings):
    """How to train the base, and on which of the dataset's rows."""

    most_rows: int | None = None
    """Train on at most this many rows, drawn with the seed: keeps a demonstration short."""
    questions_per_row: int = Field(default=3, ge=1)
    """Questions in one grounded row, where its passages answer several: each costs little more than its own words."""
    unanswerable: float = Field(default=0.15, ge=0, lt=1)
    """Share of the grounded rows whose passages are made to lack the answer, so that the model learns to say so."""


class EvaluationPart(Value):
    """The suite: files of questions, and how answers are marked."""

    name: str = "support"
    """What the suite is called."""
    questions: tuple[str, ...] = Field(min_length=1)
    """Files of questions, one object a line."""
    most: int | None = Field(default=None, ge=1)
    """Ask at most this many, drawn by a keyed hash of their ids: keeps a demonstration short."""
    scorers: tuple[str, ...] = ("facts", "cited", "answers", "abstains", "refuses")
    """How answers are marked: extensions of kind `scorer`."""
    max_tokens: int = 96
    """Longest answer in tokens."""


class GatePart(Value):
    """What the tuned model has to show against the base."""

    name: str = "gate"
    """What the gate is called."""
    limits: tuple[Limit, ...] = Field(min_length=1)
    """Every one has to be met."""


class ServingPart(Value):
    """How the assistant is served."""

    alias: str = "assistant"
    """The model name that callers use."""
    policy: str
    """A YAML file of rules."""
    instructions: str
    """The system message that training, evaluation and serving share."""
    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` lets other machines in."""
    port: int = Field(default=8080, ge=0, le=65535)
    """0 takes a free one."""
    max_tokens: int = 96
    """Longest answer in tokens, where the caller does not say."""


class Project(Value):
    """One assistant. Published as JSON Schema; an unknown key is refused with its line and the nearest name."""

    name: str
    """What the assistant is called."""
    base: str
    """A name from `luthier models list`, or a folder."""
    workspace: str = ".luthier"
    """Folder of the ledger, the traces and the blobs, relative to this file."""
    data: DataPart
    """Where the training rows come from."""
    knowledge: KnowledgePart
    """The documents that answers are taken from."""
    training: TrainingPart = TrainingPart()
    """How to train."""
    evaluation: EvaluationPart
    """The questions that models are measured with."""
    gate: GatePart
    """What the tuned model has to show."""
    serving: ServingPart
    """How the assistant is served."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `luthier.yaml`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Project.model_json_schema()
