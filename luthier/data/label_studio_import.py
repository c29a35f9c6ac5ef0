"""Label Studio, the way in: annotated tasks as labels, each with who, when and under which schema.

Reads what `label_studio.py` writes and what Label Studio exports as JSON: annotations as people's labels, ground truth
as an adjudicator's, predictions as a model's. What is no label is refused with its reason, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.data.chat_jsonl import parsed
from luthier.data.label_studio import TIE
from luthier.data.labels import Fits, Imported, Scrub, anything, moment, ordered, problem, scrubbed
from luthier.data.raw import NotADialogue, Refused
from luthier.errors import BadData
from luthier.records.labels import Label, LabelQuestion, LabelSchema, Marked, Origin


def read(
    path: Path,
    schema: LabelSchema,
    *,
    scrub: Scrub,
    users: Mapping[str, str] | None = None,
    at: str = "",
    fits: Fits = anything,
) -> Imported:
    """The labels of an exported file: a JSON list of tasks, or a task a line.

    `users` gives annotators' numbers the names that labels carry; without it those of the task, else that of `""`,
    else `user-7`. `at` says when, for files that do not; what does not fit its row is refused too. Raises BadData
    where the file cannot be read.
    """
    imported = Imported([], [])
    skipped = 0
    for number, task in loaded(path):
        if isinstance(task, Refused):
            imported.refused.append(task)
            continue
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            imported.refused.append(Refused(number, "the task has no data"))
            continue
        for annotation, origin in said_of(task):
            if annotation.get("was_cancelled"):
                skipped += 1
                continue
            for label in labels_of(task["data"], annotation, origin, schema, users or {}, at):
                if isinstance(label, str) or (why := fits(label)):
                    imported.refused.append(Refused(number, label if isinstance(label, str) else why))
                else:
                    imported.labels.append(scrubbed(label, schema, scrub))
    return imported._replace(skipped=skipped)


def loaded(path: Path) -> Iterator[tuple[int, Any]]:
    """The objects of a JSON list with their places, or of JSON lines with their lines; a Refused for a broken line.

    Raises BadData where the file is no text, or a list that is broken.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        whole = list(parsed(text)) if text.lstrip().startswith("[") else None
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror or error}", "check the path and its rights") from error
    except (UnicodeDecodeError, NotADialogue) as error:
        raise BadData(f"{path} is no JSON ({error})", "export the labels as JSON") from error
    if whole is not None:
        yield from enumerate(whole, 1)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, parsed(line)
            except NotADialogue as refusal:
                yield number, Refused(number, str(refusal))


def said_of(task: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Origin]]:
    """What people and models said of a task; `completions` is what old exports call annotations."""
    for each in listed(task.get("annotations") or task.get("completions")):
        yield each, "adjudicator" if each.get("ground_truth") else "person"
    for each in listed(task.get("predictions")):
        yield each, "model"


def listed(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; an export of ids alone has none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def labels_of(
    data: Mapping[str, Any],
    annotation: Mapping[str, Any],
    origin: Origin,
    schema: LabelSchema,
    users: Mapping[str, str],
    at: str,
) -> Iterator[Label | str]:
    """The labels of one annotation, or why there is none."""
    row = data.get("row") or data.get("id")
    when = moment(annotation.get("updated_at")) or moment(annotation.get("created_at")) or at
    if not isinstance(row, str | int) or not when:
        yield "the task names no row" if not isinstance(row, str | int) else "it does not say when it was labelled"
        return
    if data.get("schema", schema.id) != schema.id:
        yield f"it was labelled under {str(data['schema'])[:19]}, not under {schema.id[:19]}"
        return
    by = named(annotation, data, users) if origin != "model" else str(annotation.get("model_version") or "model")
    gathered: dict[str, list[Any]] = {}
    for result in listed(annotation.get("result")):
        name = str(result.get("from_name", "")).removesuffix(TIE)
        question, value = schema.question(name), result.get("value")
        if question is None or not isinstance(value, dict):
            yield f"the schema has no question {name!r}" if question is None else f"{name!r} has no value"
            continue
        gathered.setdefault(name, []).extend(answers(question, value))
    for name, found in gathered.items():
        question = schema.question(name)
        assert question is not None
        value = together(question, found)
        if value is None or isinstance(value, float | bool | dict):
            yield f"{name!r} has no answer of its type"
            continue
        label = Label(
            row=str(row),
            schema_id=schema.id,
            question=name,
            value=ordered(value, question),
            by=by,
            at=when,
            origin=origin,
        )
        yield problem(label, schema) or label


def named(annotation: Mapping[str, Any], data: Mapping[str, Any], users: Mapping[str, str]) -> str:
    """Who made an annotation. An e-mail address is never taken over: addresses are personal data."""
    who = annotation.get("completed_by")
    number = str(who.get("id", "")) if isinstance(who, dict) else str(who if who is not None else "")
    known = data.get("annotators")
    of_task = known.get(number) if isinstance(known, dict) else None
    email = who.get("email") if isinstance(who, dict) else None
    of_task = of_task if isinstance(of_task, str) and "@" not in of_task else ""
    told = next((users[key] for key in (number, email) if isinstance(key, str) and key and key in users), "")
    return told or of_task or users.get("") or f"user-{number or 'unknown'}"


def answers(question: LabelQuestion, value: Mapping[str, Any]) -> list[Any]:
    """What one object says, in parts: options, a figure, a side, a span, a text."""
    if question.type == "span":
        start, end, labels = value.get("start"), value.get("end"), value.get("labels")
        if not isinstance(start, int) or not isinstance(end, int) or not isinstance(labels, list) or start < 0:
            return [None]
        return [Marked(start=start, end=end, label=str(each)) for each in labels]
    if question.type == "rating":
        figure = value.get("rating", value.get("number"))
        return [int(figure) if isinstance(figure, float) and figure.is_integer() else figure]
    if question.type == "preference":
        return [value["selected"]] if "selected" in value else list(value.get("choices") or [None])
    parts = value.get("choices" if question.type == "choice" else "text")
    return list(parts) if isinstance(parts, list) else [parts]


def together(question: LabelQuestion, found: Sequence[Any]) -> Any:
    """The parts of an answer as one value; None where one of them is none."""
    if None in found or not found:
        return None
    if question.type == "span":
        return tuple(found)
    if question.type in ("text", "rewrite"):
        return "\n".join(map(str, found))
    if question.several:
        return tuple(map(str, found))
    return found[0] if len(set(map(str, found))) == 1 else None
