"""Labels: what a schema allows, which are new, and how several annotators' answers become one. Pure.

Files of other tools are read and written in `label_studio.py` and `argilla.py`; agreement stands in `agreement.py`,
what a settled answer does to a row in `settled.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from luthier.data.raw import Refused
from luthier.records.labels import SIDES, Answer, Label, LabelQuestion, LabelSchema, LabelSet, Marked
from luthier.store.blobs import Blobs

Scrub = Callable[[str], str]
"""One text with its personal data replaced."""
Fits = Callable[[Label], str]
"""Why a label does not fit its row; "" where it does."""
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


def anything(label: Label) -> str:
    """Fits whatever row there is."""
    return ""


def moment(value: Any) -> str:
    """A time in ISO 8601, in UTC where it names another zone; "" for what is none."""
    if not isinstance(value, str) or len(value) < 10:
        return ""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return ""
    return at.astimezone(UTC).isoformat() if at.utcoffset() else value


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


def fresh(labels: Iterable[Label], known: Iterable[Label], untimed: str = "", *, again: bool = False) -> list[Label]:
    """Those of `labels` that `known` does not hold.

    Where a file does not say when, its labels carry the time `untimed` of their import: one that repeats its author's
    last word is not new, nor, where the same file is read `again`, one that repeats any word of theirs.
    """
    every: set[Label] = set()
    words: dict[tuple[str, ...], list[Label]] = defaultdict(list)
    for label in sorted(known, key=lambda label: label.at):
        every.add(label)
        words[whose(label)].append(label)
    new = []
    for label in labels:
        before = words[whose(label)]
        repeated = label.at == untimed and label.value in [each.value for each in (before if again else before[-1:])]
        if label not in every and not repeated:
            new.append(label)
            every.add(label)
    return new


def whose(label: Label) -> tuple[str, ...]:
    """Row, question and author of a label."""
    return label.row, label.question, label.by, label.origin


def kept(
    blobs: Blobs, labels: Iterable[Label], schema: LabelSchema, dataset: str, *, previous: LabelSet | None, source: str
) -> LabelSet:
    """A set of `labels`, which adds those of the file `source` to `previous`; its blob is written, the record not put.

    `labels` are all of them, those that are left of `previous` too; each is kept once.
    """
    every = {label.model_dump_json(): label for label in labels}
    in_order = sorted(every.values(), key=lambda label: (label.row, label.question, label.at, label.by, label.origin))
    return LabelSet(
        dataset=dataset,
        schema_id=schema.id,
        labels=blobs.put_lines(label.model_dump(mode="json", exclude_defaults=True) for label in in_order),
        count=len(in_order),
        annotators=tuple(sorted({label.by for label in in_order if label.origin != "model"})),
        sources=tuple(dict.fromkeys((*(previous.sources if previous else ()), source))),
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
