"""Argilla: rows out as records with suggestions and responses, its exported records in as labels.

The shape is that of `dataset.records.to_json` in Argilla 2: a JSON list of {id, fields, metadata, suggestions,
responses, vectors}, responses by question as [{value, user_id}]. It has no room for when and in which capacity somebody
answered, so `metadata` carries it (`schema`, `said`); what was answered in Argilla itself gets its time from the
caller. Knows no server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from luthier.data.label_studio import fields, shown
from luthier.data.label_studio_import import listed, loaded
from luthier.data.labels import Fits, Imported, Scrub, anything, moment, ordered, problem, scrubbed
from luthier.data.raw import Refused
from luthier.errors import BadData
from luthier.records.data import Row
from luthier.records.labels import SIDES, Answer, Label, LabelQuestion, LabelSchema, Marked, Origin
from luthier.store.files import replacing

ORIGINS: dict[str, Origin] = {"person": "person", "model": "model", "adjudicator": "adjudicator"}


def settings(schema: LabelSchema, *, said: bool = False) -> dict[str, Any]:
    """Fields and questions of `schema` as Argilla's settings: guidelines, fields, questions, metadata."""
    return {
        "guidelines": schema.guidelines or None,
        "allow_extra_metadata": True,
        "fields": [
            {"name": name, "title": name, "required": name == "answer", "settings": {"type": "text"}}
            for name in fields(schema, said=said)
        ],
        "questions": [asked(question) for question in schema.questions],
    }


def asked(question: LabelQuestion) -> dict[str, Any]:
    """One question in Argilla's words; a preference is a choice of sides."""
    options = [{"value": option, "text": option} for option in question.options or SIDES]
    ratings = [{"value": value} for value in range(question.low, question.high + 1)]
    kinds: dict[str, dict[str, Any]] = {
        "choice": {"type": "multi_label_selection" if question.several else "label_selection", "options": options},
        "preference": {"type": "label_selection", "options": options},
        "rating": {"type": "rating", "options": ratings},
        "span": {"type": "span", "field": "answer", "options": options, "allow_overlapping": True},
        "text": {"type": "text"},
        "rewrite": {"type": "text"},
    }
    title = question.title or question.name
    return {"name": question.name, "title": title, "required": question.required, "settings": kinds[question.type]}


def user_id(by: str) -> str:
    """The UUID of an annotator: the name itself where it is one, else one that is made from the name."""
    try:
        return str(UUID(by))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, by))


def records(
    rows: Iterable[Row], schema: LabelSchema, labels: Sequence[Label] = (), told: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """A record a row. Raises BadData for a label that the schema does not allow.

    `told` is what whoever decides is shown of others' answers, by row.
    """
    by_row: dict[str, list[Label]] = {}
    for label in labels:
        if why := problem(label, schema):
            raise BadData(f"a label of row {label.row} cannot be exported: {why}", "export it under its own schema")
        by_row.setdefault(label.row, []).append(label)
    for row in rows:
        own = sorted(by_row.get(row.id, ()), key=lambda each: (each.question, each.at, each.by))
        responses: dict[str, list[dict[str, Any]]] = {}
        suggestions: dict[str, dict[str, Any]] = {}
        for label in own:
            if label.origin == "model":  # Argilla keeps one suggestion a question: the latest
                suggestions[label.question] = {"value": spelled(label.value), "score": None, "agent": label.by}
            else:
                said = {"value": spelled(label.value), "user_id": user_id(label.by)}
                responses.setdefault(label.question, []).append(said)
        notes = [f"{each.question} {each.origin} {each.at} {each.by}" for each in own]
        yield {
            "id": row.id,
            "fields": shown(row, told),
            "metadata": {"schema": schema.id} | ({"said": notes} if notes else {}),
            "suggestions": suggestions,
            "responses": responses,
            "vectors": {},
        }


def spelled(value: Answer) -> Any:
    """An answer as Argilla has it: spans are {label, start, end}."""
    if isinstance(value, tuple):
        return [each if isinstance(each, str) else each.model_dump() for each in value]
    return value


def write(
    path: Path,
    rows: Iterable[Row],
    schema: LabelSchema,
    labels: Sequence[Label] = (),
    told: Mapping[str, str] | None = None,
) -> int:
    """Write the records of `rows` as one JSON list; how many."""
    count = 0
    with replacing(path) as file:
        for count, record in enumerate(records(rows, schema, labels, told), 1):
            file.write((("[\n" if count == 1 else ",\n") + json.dumps(record, ensure_ascii=False)).encode())
        file.write(b"\n]\n" if count else b"[]\n")
    return count


def read(
    path: Path,
    schema: LabelSchema,
    *,
    scrub: Scrub,
    users: Mapping[str, str] | None = None,
    at: str = "",
    fits: Fits = anything,
) -> Imported:
    """The labels of exported records.

    `users` gives users' UUIDs the names that labels carry; without it the record's own, else that of `""`, else
    `user-1a2b3c4d`. `at` says when, for answers that were given in Argilla; what does not fit its row is refused too.
    Raises BadData where the file cannot be read.
    """
    imported = Imported([], [])
    skipped = 0
    for number, record in loaded(path):
        if isinstance(record, Refused):
            imported.refused.append(record)
            continue
        if not isinstance(record, dict) or not isinstance(record.get("id"), str | int):
            imported.refused.append(Refused(number, "the record has no id"))
            continue
        notes = Notes(record, users or {}, at)
        for question, given, origin in answers(record):
            if given.get("status", "submitted") != "submitted":
                skipped += 1
                continue
            label = label_of(str(record["id"]), question, given, origin, schema, notes)
            if isinstance(label, str) or (why := fits(label)):
                imported.refused.append(Refused(number, label if isinstance(label, str) else why))
            else:
                imported.labels.append(scrubbed(label, schema, scrub))
    return imported._replace(skipped=skipped)


class Notes:
    """Who and when, as the record's metadata says it where it came from here, else as the caller does."""

    def __init__(self, record: Mapping[str, Any], users: Mapping[str, str], at: str) -> None:
        metadata = record.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        self.schema = metadata.get("schema")
        self.users = users
        self.at = at
        said = metadata.get("said")
        self.said: dict[tuple[str, str], list[tuple[Origin, str, str]]] = {}
        for line in said if isinstance(said, list) else []:
            question, capacity, when, by = [*str(line).split(" ", 3), "", "", ""][:4]
            origin = ORIGINS.get(capacity)
            if origin and by and "@" not in by:
                who = by if origin == "model" else user_id(by)
                self.said.setdefault((question, who), []).append((origin, when, by))

    def take(self, question: str, who: str, origin: Origin) -> tuple[Origin, str, str]:
        """Capacity, time and name of the next answer of `who` to `question`; what is not noted is the caller's."""
        noted = self.said.get((question, who))
        if noted:
            return noted.pop(0)
        name = self.users.get(who) or (who if origin == "model" else self.users.get("") or f"user-{who[:8]}")
        return origin, self.at, name


def answers(record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Origin]]:
    """Question, answer and capacity of everything that was said of a record."""
    responses, suggestions = record.get("responses"), record.get("suggestions")
    for question, given in (responses if isinstance(responses, dict) else {}).items():
        for each in listed(given):
            yield str(question), each, "person"
    for question, each in (suggestions if isinstance(suggestions, dict) else {}).items():
        if isinstance(each, dict):
            yield str(question), each, "model"


def label_of(
    row: str, name: str, given: Mapping[str, Any], origin: Origin, schema: LabelSchema, notes: Notes
) -> Label | str:
    """The label of one answer, or why there is none."""
    question = schema.question(name)
    if question is None or notes.schema not in (None, schema.id):
        return f"the schema has no question {name!r}" if question is None else "it was labelled under another schema"
    who = str(given.get("agent") or "model") if origin == "model" else str(given.get("user_id"))
    origin, when, by = notes.take(name, who, origin)
    if not (at := moment(when)):
        return "it does not say when it was labelled"
    value = understood(given.get("value"), question)
    if value is None:
        return f"{name!r} has no answer of its type"
    label = Label(
        row=row, schema_id=schema.id, question=name, value=ordered(value, question), by=by, at=at, origin=origin
    )
    return problem(label, schema) or label


def understood(value: Any, question: LabelQuestion) -> Answer | None:
    """Argilla's value as an answer; None where it is none. Of a ranking the first place is what is preferred."""
    if question.type == "span":
        spans = listed(value)
        good = isinstance(value, list) and all(
            isinstance(each.get("start"), int) and isinstance(each.get("end"), int) and each["start"] >= 0
            for each in spans
        )
        found = [Marked(start=each["start"], end=each["end"], label=str(each.get("label"))) for each in spans * good]
        return tuple(found) if good and len(found) == len(value) else None
    if question.type == "preference" and isinstance(value, list) and value:
        value = value[0]
    if question.several:
        return tuple(map(str, value)) if isinstance(value, list) else None
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None
