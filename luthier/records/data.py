"""Rows and the versions of a dataset that hold them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

from luthier.records.base import Made, Parent, Value

Role = Literal["system", "user", "assistant", "tool"]
Split = Literal["train", "validation", "test"]


class Message(Value):
    """One turn, in OpenAI's chat format."""

    role: Role
    content: str = ""
    name: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    tool_call_id: str | None = None
    weight: Literal[0, 1] | None = None
    """0 keeps an assistant turn as context without training on it."""


class Row(Value):
    """One dialogue, as training sees it: scrubbed, placed in a split, traceable to its line of its source."""

    id: str
    """sha256 of the scrubbed messages, first 16 letters."""
    split: Split
    source: str
    line: int
    messages: tuple[Message, ...]
    language: str = ""
    metadata: dict[str, str] = {}
    tools: tuple[dict[str, Any], ...] = ()
    """What the assistant may call, in OpenAI's form."""
    rejected: tuple[Message, ...] = ()
    """What was not preferred, in place of the last assistant turn: the row is a preference."""
    good: bool | None = None
    """Whether the last assistant turn was wanted: the row is a rating."""
    licence: str = ""
    """Where the row has another than its source."""
    consent: str = ""
    """Where the row stands on another basis than its source."""
    subject: str = ""
    """Keyed hash of the person whom the row comes from."""
    collected: str = ""
    """ISO date on which it was said."""
    changes: tuple[str, ...] = ()
    """What was done to it, in order."""
    scores: dict[str, float] = {}
    """What the detectors measured."""


class Found(NamedTuple):
    """Personal data in a text: characters [start, end) are a `type`."""

    start: int
    end: int
    type: str
    text: str


class Scrubbed(NamedTuple):
    """A text whose personal data is replaced by typed placeholders such as <PERSON_1>, and what was found."""

    text: str
    found: tuple[Found, ...]


class SourceUse(Value):
    """One source as it went into a version."""

    name: str
    digest: str
    """sha256 of the file as it was read."""
    licence: str
    consent: str
    """The basis on which these rows may be used, e.g. `contract` or `consent:2026-terms`."""
    rows: int


class DatasetVersion(Made):
    """Rows with everything that says where they come from. The rows themselves are a blob of JSON lines."""

    kind: ClassVar[str] = "dataset"
    name: str
    rows: str
    """Digest of the blob of `Row` lines."""
    sources: tuple[SourceUse, ...]
    counts: dict[str, int]
    """Rows in each split."""
    languages: dict[str, int] = {}
    personal: dict[str, int] = {}
    """Personal data replaced, by type."""
    duplicates: int = 0
    quarantined: int = 0
    quarantine: str | None = None
    """Digest of the blob that names each row that was refused or left out, by file and line, and why."""
    left_out: dict[str, int] = {}
    """Rows that a rule left out (licence, consent, quality …), by reason."""
    subjects: str | None = None
    """Digest of the blob that maps keyed hashes of people's data to the rows they stood in."""
    made_from: tuple[Parent, ...] = ()
    """Earlier versions, indexes and reviews that this version was made from, each with its role."""
    seed: int = 0
    builder: str = ""

    def parents(self) -> tuple[Parent, ...]:
        return self.made_from

    def blobs(self) -> tuple[str, ...]:
        return tuple(digest for digest in (self.rows, self.quarantine, self.subjects) if digest)
