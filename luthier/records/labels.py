"""What annotators are asked, what they said, and the set of labels that a dataset has."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from luthier.records.base import Made, Parent, Value

LabelType = Literal["choice", "rating", "preference", "span", "text", "rewrite"]
SIDES = ("left", "right", "tie")
"""What a preference may say: `left` is the row's own answer, `right` the rejected one."""


class LabelQuestion(Value):
    """One thing that annotators are asked about each row."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")
    """Labels name the question by it; a letter first, then letters, figures, `_` and `-`."""
    type: LabelType
    """`choice` from options, `rating` by a number, `preference` of two answers, `span`, `text`, `rewrite`."""
    title: str = ""
    """What the annotator reads."""
    options: tuple[str, ...] = ()
    """What can be chosen, or what spans are called."""
    several: bool = False
    """More than one option may be chosen."""
    low: int = 1
    """Lowest rating."""
    high: int = 5
    """Highest rating."""
    required: bool = True
    """A row without an answer to it is not finished."""
    good_from: int | None = None
    """A rating from which the answer is wanted, and below which it is not; without it a rating teaches nothing."""

    @model_validator(mode="after")
    def fits(self) -> LabelQuestion:
        """A question that can be answered."""
        if self.type in ("choice", "span") and (len(self.options) < 1 + (self.type == "choice")):
            raise ValueError(f"{self.name!r} needs options")
        if len(set(self.options)) < len(self.options) or "" in self.options:
            raise ValueError(f"the options of {self.name!r} are not all different, or one is empty")
        if self.type not in ("choice", "span") and self.options:
            raise ValueError(f"{self.name!r} is a {self.type}, which has no options")
        if self.several and self.type != "choice":
            raise ValueError(f"{self.name!r} is a {self.type}, of which there is one")
        if self.good_from is not None and (self.type != "rating" or not self.low < self.good_from <= self.high):
            raise ValueError(f"good_from of {self.name!r} is no rating above the lowest")
        if self.low >= self.high:
            raise ValueError(f"the ratings of {self.name!r} go from {self.low} to {self.high}")
        return self


class LabelSchema(Made):
    """The questions that annotators answer. Its id is its version: a word changed is another schema."""

    kind: ClassVar[str] = "schema"
    name: str
    questions: tuple[LabelQuestion, ...] = Field(min_length=1)
    guidelines: str = ""
    """What annotators are told."""
    previous: str | None = None
    """The version that this one follows."""

    @model_validator(mode="after")
    def names(self) -> LabelSchema:
        """Every question under a name of its own."""
        if len({question.name for question in self.questions}) < len(self.questions):
            raise ValueError("two questions have one name")
        return self

    def question(self, name: str) -> LabelQuestion | None:
        """The question of that name."""
        return next((question for question in self.questions if question.name == name), None)

    def parents(self) -> tuple[Parent, ...]:
        return (Parent("previous", self.previous),) if self.previous else ()


class Marked(Value):
    """Characters [start, end) of the row's answer are a `label`."""

    start: int = Field(ge=0)
    end: int
    label: str


Answer = str | int | tuple[str, ...] | tuple[Marked, ...]
"""A choice (several: all of them, sorted), a rating, a side, spans in order, a text."""
Origin = Literal["person", "model", "adjudicator"]


class Label(Value):
    """What one annotator said of one row to one question: always with who, when and which version of the schema."""

    row: str
    """Id of the row."""
    schema_id: str
    question: str
    value: Answer
    by: str = Field(min_length=1)
    """The annotator: a name that the house gave, not an address."""
    at: str = Field(min_length=10)
    """ISO 8601."""
    origin: Origin = "person"
    """`model`: a suggestion that somebody's model made; `adjudicator`: this is how it was decided."""


class LabelSet(Made):
    """Labels of a dataset's rows under one schema. The labels are a blob of JSON lines."""

    kind: ClassVar[str] = "labels"
    dataset: str
    schema_id: str
    labels: str
    """Digest of the blob of `Label` lines."""
    count: int
    annotators: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """sha256 of each file that was imported."""
    previous: str | None = None
    """The set that this one adds to."""

    def parents(self) -> tuple[Parent, ...]:
        own = (Parent("labelled", self.dataset), Parent("schema", self.schema_id))
        return own + ((Parent("previous", self.previous),) if self.previous else ())

    def blobs(self) -> tuple[str, ...]:
        return (self.labels,)
