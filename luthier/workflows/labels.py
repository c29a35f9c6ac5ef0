"""Labels: a schema asked of people, their answers taken in, and how far they agree.

    schema.yaml → LabelSchema → tasks of a tool → answers → LabelSet → settled → rows of the next build

Answers only ever add up: a set of labels names the one before it. What becomes of them stands in `settled`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from luthier.data import argilla, build, label_studio, label_studio_import
from luthier.data.agreement import Agreement, agreement
from luthier.data.argilla import spelled
from luthier.data.labels import Fits, Scrub, Settled, fresh, kept, scrubbed, settle
from luthier.data.mixture import place
from luthier.data.raw import Refused
from luthier.data.sources import file_digest
from luthier.errors import BadConfig, BadData
from luthier.records.base import short
from luthier.records.data import DatasetVersion, Row, Split
from luthier.records.labels import Label, LabelSchema, LabelSet, Marked
from luthier.store import erasure
from luthier.store.files import replacing
from luthier.store.ledger import Event
from luthier.workflows.data import latest, scrubber
from luthier.workflows.session import Session
from luthier.workflows.settled import ALL, SETTLED, adjudicators_of, labels_of, newest, required

Tool = Literal["label-studio", "argilla"]


class Pick(NamedTuple):
    """Which rows of a version are labelled."""

    split: Split | None = None
    most: int | None = None
    """Drawn by a hash of their ids: always the same."""
    only: frozenset[str] | None = None
    """Their ids."""


EVERY = Pick()


class Handed(NamedTuple):
    """What annotators are given."""

    path: Path
    config: Path
    """How the tool is to ask, to be pasted into a new project."""
    rows: int
    passed: int
    """Rows that were passed over: they have no second answer, and one is asked which of two is better."""


class Taken(NamedTuple):
    """What a file of answers held."""

    labels: LabelSet | None
    """The set that holds them now; None where there is no label yet."""
    new: int
    known: int
    refused: tuple[Refused, ...]
    """Number of the task, and why."""
    skipped: int
    """Answers that their annotator cancelled or left as a draft."""


class Standing(NamedTuple):
    """How far labelling is."""

    labels: LabelSet
    rows: int
    """Rows with a label."""
    agreement: tuple[Agreement, ...]
    settled: tuple[Settled, ...]
    """What it would come to now; None as value where it stays open."""
    last: Event | None
    """When it was last settled."""
    reached: int
    """Rows of the newest dataset version that were changed by labels of any schema."""


def rows_of(session: Session, version: DatasetVersion, split: Split | None = None) -> Iterator[Row]:
    """The rows of a version, as far as they are left."""
    return build.rows(erasure.left_of(session.workspace.ledger, version), session.workspace.blobs, split)


def export(
    session: Session,
    schema: LabelSchema,
    version: DatasetVersion,
    to: Path,
    tool: Tool,
    pick: Pick = EVERY,
    *,
    decide: bool = False,
) -> Handed:
    """Write rows of a version as tasks, and beside them how the tool is to ask. Raises BadData where no row is left.

    With `decide` they show what was said so far: for whoever decides, not for annotators, who are not to see each
    other's answers.
    """
    both = any(question.type == "preference" for question in schema.questions)
    single, fit = set[str](), set[str]()
    for row in rows_of(session, version, pick.split):
        if pick.only is None or row.id in pick.only:
            (single if both and not row.rejected else fit).add(row.id)
    asked = frozenset(sorted(fit, key=lambda name: place(0, "", name))[: pick.most])
    if not asked:
        why = "no row has the two answers that the schema compares" if single else "no row is left to ask about"
        raise BadData(why, "take another schema, dataset or split")
    rows = (row for row in rows_of(session, version, pick.split) if row.id in asked)
    said = said_of(session, schema, asked) if decide else None
    if tool == "label-studio":
        config, how = to.with_name(f"{to.stem}.config.xml"), label_studio.config(schema, said=decide)
        label_studio.write(to, rows, schema, said=said)
    else:
        settings = argilla.settings(schema, said=decide)
        config, how = to.with_name(f"{to.stem}.settings.json"), json.dumps(settings, indent=2)
        argilla.write(to, rows, schema, told=said)
    with replacing(config) as file:
        file.write(how.encode() + b"\n")
    return Handed(to, config, len(asked), len(single))


def said_of(session: Session, schema: LabelSchema, rows: frozenset[str]) -> dict[str, str]:
    """What everybody said of these rows, as a text."""
    said: dict[str, list[str]] = {}
    for label in labels_of(session, newest(session.workspace.ledger, schema)):
        if label.row in rows:
            value = spelled(label.value)
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            said.setdefault(label.row, []).append(f"{label.question}: {text} ({label.by})")
    return {row: "\n".join(lines) for row, lines in said.items()}


def take(
    session: Session,
    schema: LabelSchema,
    version: DatasetVersion,
    path: Path,
    tool: Tool,
    *,
    users: Mapping[str, str] | None = None,
    decided: bool = False,
) -> Taken:
    """Add the answers of a file to the labels under `schema`; the same file adds nothing twice.

    `users` names annotators by their numbers in the tool; under "" whoever is not named. `decided` takes every
    person's answer as an adjudicator's. Raises BadConfig for a name that is an address, BadData for no such file.
    """
    ledger = session.workspace.ledger
    if address := next((name for name in (users or {}).values() if "@" in name or not name.strip()), None):
        raise BadConfig(f"{address!r} is no name for an annotator", "give a name or a number, and no e-mail address")
    previous = newest(ledger, schema)
    known = labels_of(session, previous)
    now = datetime.now(UTC).isoformat()
    read = label_studio_import.read if tool == "label-studio" else argilla.read
    found = read(path, schema, scrub=str, users=users, at=now, fits=fitting(session, schema, version))
    given = [
        each.model_copy(update={"origin": "adjudicator"}) if decided and each.origin == "person" else each
        for each in scrubbed_in(session, schema, version, found.labels)
    ]
    source = file_digest(path)
    new = fresh(given, known, now, again=previous is not None and source in previous.sources)
    labels = previous
    if new:
        labels = kept(session.workspace.blobs, [*known, *new], schema, version.id, previous=previous, source=source)
        ledger.put(labels, session.by)
    return Taken(labels, len(new), len(given) - len(new), tuple(found.refused), found.skipped)


def scrubbed_in(session: Session, schema: LabelSchema, version: DatasetVersion, labels: Sequence[Label]) -> list[Label]:
    """The labels as they may be stored. What an annotator wrote is scrubbed beside its row: a name gets a number of
    its own, or the one that it has there.
    """
    wrote = {label.row for label in labels if isinstance(label.value, str)}
    if not wrote:
        return list(labels)
    clean = scrubber(session)
    rows = {row.id: row for row in rows_of(session, version) if row.id in wrote}

    def scrub(row: Row) -> Scrub:
        said = [turn.content for turn in (*row.messages, *row.rejected)]
        return lambda text: clean.dialogue([*said, text], row.language)[-1].text

    return [scrubbed(each, schema, scrub(rows[each.row])) if each.row in rows else each for each in labels]


def fitting(session: Session, schema: LabelSchema, version: DatasetVersion) -> Fits:
    """Whether a label fits a row of `version`."""
    shapes = {row.id: (len(row.messages[-1].content), bool(row.rejected)) for row in rows_of(session, version)}

    def fits(label: Label) -> str:
        shape = shapes.get(label.row)
        if shape is None:
            return f"{short(version.id)} has no such row; name the version that was exported with --dataset"
        question = schema.question(label.question)
        if question is not None and question.type == "preference" and not shape[1]:
            return f"{label.question!r} compares two answers, and the row has one"
        ends = [each.end for each in label.value if isinstance(each, Marked)] if isinstance(label.value, tuple) else []
        return f"a span of {label.question!r} ends behind the answer" if max(ends, default=0) > shape[0] else ""

    return fits


def standing(session: Session, schema: LabelSchema, *, at_least: int = 1) -> Standing:
    """How far annotators agree, and what is open. Raises Missing where there is no label yet."""
    labels = required(session, schema)
    ledger = session.workspace.ledger
    said = labels_of(session, labels)
    sets = {
        each.id for each in ledger.ls(LabelSet.kind, ALL) if isinstance(each, LabelSet) and each.schema_id == schema.id
    }
    told = [event for event in ledger.events(verb=SETTLED) if event.subject in sets]
    names = adjudicators_of(told[-1]) if told else ()
    settled = settle(said, schema, adjudicators=names, at_least=at_least)
    rows = len({label.row for label in said})
    return Standing(
        labels, rows, tuple(agreement(said, schema)), tuple(settled), told[-1] if told else None, reached(session)
    )


def reached(session: Session) -> int:
    """Rows of the newest version that labels changed."""
    version = latest(session)
    schemas = [each for each in session.workspace.ledger.ls(LabelSchema.kind, ALL) if isinstance(each, LabelSchema)]
    marks = {f"{question.type} {question.name}" for schema in schemas for question in schema.questions}
    return sum(bool(marks & set(row.changes)) for row in rows_of(session, version)) if version else 0
