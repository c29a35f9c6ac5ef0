"""Labels: what a schema allows, how several annotators' answers become one, and what that does to a row. Pure.

Files of other tools are read and written in `label_studio.py` and `argilla.py`; agreement stands in `agreement.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from luthier.data.dedupe import Said, row_id
from luthier.data.raw import Refused
from luthier.records.data import Row
from luthier.records.labels import SIDES, Answer, Label, LabelQuestion, LabelSchema, LabelSet, Marked
from luthier.store.blobs import Blobs

Scrub = Callable[[str], str]
"""One text with its personal data replaced."""
How = Literal["adjudicated", "unanimous", "majority", "alone", "unresolved", "unanswered"]


class Imported(NamedTuple):
    """What a file of labels held: answers in = labels + refused."""

    labels: list[Label]
    refused: list[Refused]
    """Number of the task from 1, and why; nothing of what was said."""
    skipped: int = 0
    """Answers that their annotator cancelled or left as a draft."""


class Settled(NamedTuple):
    """What a row is to be, by one question."""

    row: str
    question: str
    value: Answer | None
    """None where it stays open."""
    how: How
    by: tuple[str, ...]
    """Who said so; where it stays open, who differed."""


def problem(label: Label, schema: LabelSchema) -> str:
    """Why `label` does not fit `schema`; "" where it does."""
    question = schema.question(label.question)
    if label.schema_id != schema.id:
        return f"it was made under {label.schema_id[:19]}, not under {schema.id[:19]}"
    if question is None:
        return f"the schema has no question {label.question!r}"
    return unfit(label.value, question)


def unfit(value: Answer, question: LabelQuestion) -> str:
    """Why `value` is no answer to `question`; "" where it is one."""
    name = question.name
    match question.type:
        case "rating":
            good = isinstance(value, int) and not isinstance(value, bool) and question.low <= value <= question.high
            return "" if good else f"{name!r} asks for a number from {question.low} to {question.high}"
        case "preference":
            return "" if value in SIDES else f"{name!r} asks for one of {', '.join(SIDES)}"
        case "span":
            return unfit_spans(value, question)
        case "choice":
            return unfit_choice(value, question)
        case _:
            return "" if isinstance(value, str) and value.strip() else f"{name!r} asks for a text"


def unfit_spans(value: Answer, question: LabelQuestion) -> str:
    """Why `value` is no list of spans, which may be empty: a text without a finding is an answer too."""
    spans = [each for each in value if isinstance(each, Marked)] if isinstance(value, tuple) else []
    if not isinstance(value, tuple) or len(spans) < len(value) or any(each.end <= each.start for each in spans):
        return f"{question.name!r} asks for spans of at least one character"
    strange = sorted({each.label for each in spans} - set(question.options))
    return f"{question.name!r} has no label {strange[0]!r}" if strange else ""


def unfit_choice(value: Answer, question: LabelQuestion) -> str:
    """Why `value` is no option, or no list of options."""
    chosen = value if isinstance(value, tuple) else (value,)
    if isinstance(value, tuple) != question.several or not chosen:
        return f"{question.name!r} asks for {'a list of options' if question.several else 'one option'}"
    strange = sorted(str(each) for each in chosen if each not in question.options)
    return f"{question.name!r} has no option {strange[0]!r}" if strange else ""


def ordered(value: Answer, question: LabelQuestion) -> Answer:
    """One spelling of one answer: options sorted, spans in the order in which they stand, none twice."""
    if question.type == "choice" and isinstance(value, tuple):
        return tuple(sorted({each for each in value if isinstance(each, str)}))
    if question.type == "span" and isinstance(value, tuple):
        spans = {each for each in value if isinstance(each, Marked)}
        return tuple(sorted(spans, key=lambda each: (each.start, each.end, each.label)))
    return value


def scrubbed(label: Label, schema: LabelSchema, scrub: Scrub) -> Label:
    """`label` as it may be stored: an annotator's own words pass the scrubber, as every text does."""
    question = schema.question(label.question)
    if question is None or question.type not in ("text", "rewrite") or not isinstance(label.value, str):
        return label
    return label.model_copy(update={"value": scrub(label.value)})


def kept(
    blobs: Blobs, labels: Iterable[Label], schema: LabelSchema, dataset: str, previous: LabelSet | None = None
) -> LabelSet:
    """A set of `labels` and of those that `previous` holds, each once; its blob is written. The record is not put."""
    lines = [Label.model_validate(line) for line in blobs.lines(previous.labels)] if previous else []
    every = {label.model_dump_json(): label for label in (*lines, *labels)}
    in_order = sorted(every.values(), key=lambda label: (label.row, label.question, label.at, label.by, label.origin))
    return LabelSet(
        dataset=dataset,
        schema_id=schema.id,
        labels=blobs.put_lines(label.model_dump(mode="json", exclude_defaults=True) for label in in_order),
        count=len(in_order),
        annotators=tuple(sorted({label.by for label in in_order if label.origin != "model"})),
        previous=previous.id if previous else None,
    )


def settle(
    labels: Sequence[Label], schema: LabelSchema, *, adjudicators: Iterable[str] = (), at_least: int = 1
) -> list[Settled]:
    """One answer for each row and question, where there is one.

    The latest word of a named adjudicator stands. Else more than half of the people have to say the same, and at least
    `at_least` of them have to have answered. Whatever is left stays open: nothing is averaged, and models have no vote.
    """
    named = frozenset(adjudicators)
    said: dict[tuple[str, str], dict[str, Label]] = defaultdict(dict)
    decided: dict[tuple[str, str], Label] = {}
    for label in sorted(labels, key=lambda label: label.at):
        place = label.row, label.question
        if label.origin == "adjudicator" or (label.by in named and label.origin == "person"):
            decided[place] = label
        elif label.origin == "person":
            said[place][label.by] = label
    order = {question.name: place for place, question in enumerate(schema.questions)}
    places = sorted({*said, *decided}, key=lambda place: (place[0], order.get(place[1], len(order))))
    return [
        Settled(*place, decided[place].value, "adjudicated", (decided[place].by,))
        if place in decided
        else voted(place, said[place], at_least)
        for place in places
    ]


def voted(place: tuple[str, str], said: Mapping[str, Label], at_least: int) -> Settled:
    """What most of the annotators say of one row."""
    everyone = tuple(sorted(said))
    if len(said) < at_least:
        return Settled(*place, None, "unanswered", everyone)
    votes = Counter(label.value for label in said.values())
    value, most = votes.most_common(1)[0]
    if 2 * most <= len(said):
        return Settled(*place, None, "unresolved", everyone)
    how: How = "alone" if len(said) == 1 else "unanimous" if most == len(said) else "majority"
    return Settled(*place, value, how, tuple(sorted(name for name, label in said.items() if label.value == value)))


def labelled(rows: Iterable[Row], settled: Iterable[Settled], schema: LabelSchema) -> Iterator[Row]:
    """The rows with what was settled about them; the others as they are."""
    by_row: dict[str, list[Settled]] = defaultdict(list)
    for each in settled:
        if each.value is not None:
            by_row[each.row].append(each)
    for row in rows:
        changed = row
        for each in by_row.get(row.id, ()):
            question = schema.question(each.question)
            if question is not None and each.value is not None:
                changed = applied(changed, question, each.value)
        yield changed


def applied(row: Row, question: LabelQuestion, value: Answer) -> Row:
    """`row` as an answer makes it: a rewrite is its new answer, a preference turns it round, others are metadata."""
    done = (*row.changes, f"{question.type} {question.name}")
    if question.type == "rewrite" and isinstance(value, str):
        messages = (*row.messages[:-1], row.messages[-1].model_copy(update={"content": value}))
        named = row_id(Said(messages, row.rejected, row.good))
        return row.model_copy(update={"messages": messages, "id": named, "changes": done})
    if question.type == "preference" and value == "right" and row.rejected:
        before = len(row.messages) - 1
        messages, rejected = (*row.messages[:before], *row.rejected), row.messages[before:]
        named = row_id(Said(messages, rejected, row.good))
        return row.model_copy(update={"messages": messages, "rejected": rejected, "id": named, "changes": done})
    if isinstance(value, tuple):
        said = "; ".join(each if isinstance(each, str) else f"{each.start}-{each.end} {each.label}" for each in value)
    else:
        said = str(value)
    return row.model_copy(update={"metadata": row.metadata | {question.name: said}, "changes": done})
