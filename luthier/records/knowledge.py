"""Documents as the assistant may quote them."""

from __future__ import annotations

from typing import ClassVar, Literal

from luthier.records.base import Made, Parent, Value


class DocumentVersion(Value):
    """One document as it stood when it was indexed. `digest` names the exact text that citations point into."""

    name: str
    """The file's name without its ending: what a person calls the document."""
    title: str
    digest: str
    """sha256 of the text, also its blob's name."""
    audience: Literal["public", "staff"] = "public"
    locale: str = "en"
    updated: str = ""


class IndexVersion(Made):
    """A searchable set of document versions and the embedding model that its vectors come from."""

    kind: ClassVar[str] = "index"
    name: str
    documents: tuple[DocumentVersion, ...]
    embedder: str
    chunks: int
    folder: str
    """Where the index lies below the workspace."""
    previous: str | None = None

    def parents(self) -> tuple[Parent, ...]:
        return (Parent("previous", self.previous),) if self.previous else ()

    def blobs(self) -> tuple[str, ...]:
        return tuple(document.digest for document in self.documents)


class Passage(Value):
    """A piece of a document: characters [start, end) of the version with that digest."""

    document: str
    title: str
    digest: str
    start: int
    end: int
    text: str
    heading: str = ""
    """The headings above it, outermost first, joined by ` › `."""
    audience: Literal["public", "staff"] = "public"
    locale: str = "en"
    score: float = 0.0


class Citation(Value):
    """A quote that stands word for word at [start, end) of a document version, and the claim that it supports."""

    marker: int
    """The number between brackets in the answer."""
    claim: str
    document: str
    title: str
    digest: str
    start: int
    end: int
    quote: str
    verified: bool
    """The quote was found at that place of that version, and it carries the claim's figures and words."""
