"""Label Studio, the way out: rows as tasks, with the labels that they have, and the configuration of a schema.

The shapes are those of its documentation (labelstud.io/guide/task_format, /guide/predictions, /tags): a JSON list of
tasks, each with `data`, `annotations` and `predictions`, whose `result` holds one object an answer. What has no place
there stands in `data`, which Label Studio keeps: row, schema and the annotators' names. Knows no server and no address.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from luthier.data.labels import problem
from luthier.errors import BadData
from luthier.records.data import Row
from luthier.records.labels import Answer, Label, LabelQuestion, LabelSchema, Marked
from luthier.store.files import replacing

TIE = ":tie"
"""Pairwise knows left and right alone: a tie is a choice of its own, by this name."""


def config(schema: LabelSchema, *, said: bool = False) -> str:
    """The labelling configuration of `schema`, to be pasted into a new project; with `said`, what was said is shown."""
    asked = [line for question in schema.questions for line in ("", *tags(question))]
    texts = [f'  <Text name="{name}" value="${name}"/>' for name in fields(schema, said=said)]
    return "\n".join(["<View>", *texts, *asked, "</View>"])


def fields(schema: LabelSchema, *, said: bool) -> list[str]:
    """What of a row is shown."""
    pair = any(question.type == "preference" for question in schema.questions)
    return ["dialogue", "answer", *["rejected"] * pair, *["said"] * said]


def tags(question: LabelQuestion) -> list[str]:
    """The tags that ask one question."""
    name = f"name={quoteattr(question.name)}"
    need = ' required="true"' if question.required else ""
    header = f"  <Header value={quoteattr(question.title or question.name)}/>"
    if question.type == "choice":
        style = "multiple" if question.several else "single"
        options = [f"    <Choice value={quoteattr(option)}/>" for option in question.options]
        return [header, f'  <Choices {name} toName="answer" choice="{style}"{need}>', *options, "  </Choices>"]
    if question.type == "span":
        options = [f"    <Label value={quoteattr(option)}/>" for option in question.options]
        return [header, f'  <Labels {name} toName="answer">', *options, "  </Labels>"]
    if question.type == "rating":
        if question.low == 1 and question.high <= 10:
            return [header, f'  <Rating {name} toName="answer" maxRating="{question.high}"{need}/>']
        return [header, f'  <Number {name} toName="answer" min="{question.low}" max="{question.high}"{need}/>']
    if question.type == "preference":
        tie = f'  <Choices name={quoteattr(question.name + TIE)} toName="answer"><Choice value="tie"/></Choices>'
        return [header, f'  <Pairwise {name} toName="answer,rejected"/>', tie]
    return [header, f'  <TextArea {name} toName="answer" editable="true" maxSubmissions="1"{need}/>']


def tasks(
    rows: Iterable[Row], schema: LabelSchema, labels: Sequence[Label] = (), said: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """A task a row, with the labels that it has already: people's as annotations, models' as predictions.

    `said` is what whoever decides is shown of others' answers, by row.
    """
    by_row = {
        row: list(some) for row, some in groupby(sorted(labels, key=lambda each: each.row), lambda each: each.row)
    }
    numbers = {name: n for n, name in enumerate(sorted({each.by for each in labels if each.origin != "model"}), 1)}
    for row in rows:
        own = sorted(by_row.get(row.id, ()), key=lambda each: (each.origin, each.by, each.at))
        groups = [(key, list(some)) for key, some in groupby(own, lambda each: (each.origin, each.by, each.at))]
        data: dict[str, Any] = {"row": row.id, "schema": schema.id, **shown(row, said)}
        if own:
            data["annotators"] = {str(numbers[each.by]): each.by for each in own if each.origin != "model"}
        yield {
            "data": data,
            "annotations": [
                {
                    "completed_by": numbers[by],
                    "created_at": at,
                    "updated_at": at,
                    "was_cancelled": False,
                    "ground_truth": origin == "adjudicator",
                    "result": [result for each in some for result in results(each, schema, row)],
                }
                for (origin, by, at), some in groups
                if origin != "model"
            ],
            "predictions": [
                {
                    "model_version": by,
                    "created_at": at,
                    "result": [result for each in some for result in results(each, schema, row)],
                }
                for (origin, by, at), some in groups
                if origin == "model"
            ],
        }


def shown(row: Row, said: Mapping[str, str] | None) -> dict[str, str]:
    """The texts that an annotator reads: what was said before, the answer, the rejected one, what others say of it."""
    before = "\n\n".join(f"{each.role}: {each.content}" for each in row.messages[:-1])
    found = {"dialogue": before, "answer": row.messages[-1].content if row.messages else ""}
    found |= {"rejected": row.rejected[-1].content} if row.rejected else {}
    return found if said is None else found | {"said": said.get(row.id, "")}


def results(label: Label, schema: LabelSchema, row: Row) -> Iterator[dict[str, Any]]:
    """The objects of one answer. Raises BadData for a label that the schema does not allow."""
    question = schema.question(label.question)
    if question is None or (why := problem(label, schema)):
        why = why if question else f"the schema has no question {label.question!r}"
        raise BadData(f"a label of row {label.row} cannot be exported: {why}", "export it under its own schema")
    text = row.messages[-1].content
    for place, (name, kind, value) in enumerate(spelled(question, label.value, text)):
        seed = f"{label.row} {label.question} {label.by} {label.at} {place}"
        to = "answer,rejected" if kind == "pairwise" else "answer"
        head = {"id": sha256(seed.encode()).hexdigest()[:10], "from_name": name, "to_name": to, "type": kind}
        yield head | {"value": value}


def spelled(question: LabelQuestion, value: Answer, text: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, type and value of each object that an answer takes."""
    name = question.name
    if question.type == "choice":
        yield name, "choices", {"choices": list(value) if isinstance(value, tuple) else [value]}
    elif question.type == "rating":
        kind = "rating" if question.low == 1 and question.high <= 10 else "number"
        yield name, kind, {kind: value}
    elif question.type == "preference":
        if value == "tie":
            yield name + TIE, "choices", {"choices": ["tie"]}
        else:
            yield name, "pairwise", {"selected": value}
    elif isinstance(value, tuple):
        for each in value:
            if isinstance(each, Marked):
                place = {"start": each.start, "end": each.end, "text": text[each.start : each.end]}
                yield name, "labels", place | {"labels": [each.label]}
    else:
        yield name, "textarea", {"text": [value]}


def write(
    path: Path,
    rows: Iterable[Row],
    schema: LabelSchema,
    labels: Sequence[Label] = (),
    said: Mapping[str, str] | None = None,
) -> int:
    """Write the tasks of `rows` as one JSON list, task by task; how many."""
    count = 0
    with replacing(path) as file:
        for count, task in enumerate(tasks(rows, schema, labels, said), 1):
            file.write((("[\n" if count == 1 else ",\n") + json.dumps(task, ensure_ascii=False)).encode())
        file.write(b"\n]\n" if count else b"[]\n")
    return count
