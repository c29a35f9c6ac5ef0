"""What was settled about rows, applied to them while a version is built. Pure.

A row is known by its id, which its words make: as long as source and scrubber say the same, every build finds it. A
label that changes the words gives the row another id, under which it may have been labelled again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from luthier.data.dedupe import Said, row_id
from luthier.data.labels import Settled
from luthier.records.base import Parent
from luthier.records.data import Row
from luthier.records.labels import Answer, LabelQuestion, LabelSchema

NEITHER = "of its two answers neither was preferred"


class Asked(NamedTuple):
    """Every question of one schema that was settled for a row."""

    question: LabelQuestion
    value: Answer


class SettledLabels:
    """A row in, the row as its labels make it out. Of two answers to one question of one schema the later stands."""

    def __init__(
        self, found: Iterable[tuple[LabelSchema, Sequence[Settled]]] = (), parents: tuple[Parent, ...] = ()
    ) -> None:
        self.parents = parents
        """The sets of labels that say so."""
        self.answers: dict[str, dict[tuple[str, str], Asked]] = defaultdict(dict)
        for schema, settled in found:
            for each in settled:
                question = schema.question(each.question)
                if question is not None and each.value is not None:
                    self.answers[each.row].pop((schema.name, question.name), None)  # the later word comes last
                    self.answers[each.row][schema.name, question.name] = Asked(question, each.value)

    def __len__(self) -> int:
        """How many rows were labelled."""
        return len(self.answers)

    def __call__(self, row: Row) -> Row | str:
        """The row as its labels make it, or why they leave it out."""
        seen: set[str] = set()
        while row.id in self.answers and row.id not in seen:
            seen.add(row.id)
            asked = list(self.answers[row.id].values())
            if row.rejected and any(each.question.type == "preference" and each.value == "tie" for each in asked):
                return NEITHER
            rewritten = any(each.question.type == "rewrite" for each in asked)
            for each in sorted(
                asked, key=lambda each: each.question.type == "rewrite"
            ):  # a rating is of the old answer
                if not (rewritten and each.question.type == "span"):  # and so are places in it
                    row = applied(row, each.question, each.value)
        return row


def applied(row: Row, question: LabelQuestion, value: Answer) -> Row:
    """`row` as one answer makes it.

    A rewrite is its new answer; a preference for the rejected one turns it round; a rating makes it wanted or not
    where the question says from which on (`good_from`); everything else, and ratings too, is metadata.
    """
    done = (*row.changes, f"{question.type} {question.name}")
    if question.type == "rewrite" and isinstance(value, str):
        messages = (*row.messages[:-1], row.messages[-1].model_copy(update={"content": value}))
        good = None if row.good is None else True  # whoever writes an answer wants it
        return named(row.model_copy(update={"messages": messages, "good": good, "changes": done}))
    if question.type == "preference" and row.rejected:
        if value != "right":
            return row.model_copy(update={"changes": done})
        before = len(row.messages) - 1
        messages, rejected = (*row.messages[:before], *row.rejected), row.messages[before:]
        return named(row.model_copy(update={"messages": messages, "rejected": rejected, "changes": done}))
    if isinstance(value, tuple):
        said = "; ".join(each if isinstance(each, str) else f"{each.start}-{each.end} {each.label}" for each in value)
    else:
        said = str(value)
    noted = row.model_copy(update={"metadata": row.metadata | {question.name: said}, "changes": done})
    if question.good_from is None or not isinstance(value, int) or row.rejected:
        return noted
    return named(noted.model_copy(update={"good": value >= question.good_from}))


def named(row: Row) -> Row:
    """The row under the id that its words make."""
    return row.model_copy(update={"id": row_id(Said(row.messages, row.rejected, row.good, row.tools))})
