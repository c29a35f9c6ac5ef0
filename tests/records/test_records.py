"""Every kind of record: kept under one word, the same after a round trip, with all its parents and blobs named."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from luthier.records.base import Happening, Made, Record, canonical
from luthier.records.data import Message
from luthier.records.kinds import BY_KIND
from luthier.records.kinds import KEPT as KINDS
from luthier.records.project import Project, json_schema
from luthier.records.serving import Trace
from luthier.records.training import LoraSpec, Recipe
from tests.records import samples
from tests.records.samples import A, B, C

ALL = (*samples.KEPT, samples.TRACE)


def test_there_is_a_sample_of_every_kind() -> None:
    assert [type(record) for record in samples.KEPT] == list(KINDS)
    assert len(BY_KIND) == len(KINDS)  # no two kinds share a word
    assert Trace.kind not in BY_KIND  # traces are kept apart, and can be erased


@pytest.mark.parametrize("record", ALL, ids=lambda record: record.kind)
def test_a_record_survives_its_body(record: Record) -> None:
    again = type(record).model_validate(json.loads(canonical(record.body())))
    assert again == record
    assert again.id == record.id  # type: ignore[attr-defined]
    assert isinstance(record, Made | Happening)


@pytest.mark.parametrize("record", ALL, ids=lambda record: record.kind)
def test_an_id_begins_with_its_kind(record: Record) -> None:
    assert record.id.startswith(f"{record.kind}-")  # type: ignore[attr-defined]


@pytest.mark.parametrize("record", ALL, ids=lambda record: record.kind)
def test_a_body_leaves_defaults_out(record: Record) -> None:
    for name, value in record.body().items():
        field = type(record).model_fields[name]
        assert field.is_required() or value != field.get_default()


@pytest.mark.parametrize("record", ALL, ids=lambda record: record.kind)
def test_every_id_inside_a_record_is_a_parent(record: Record) -> None:
    """A field that names a record of the ledger and is no parent would be a hole in the lineage."""
    text = json.dumps({name: value for name, value in record.body().items() if name not in {"id", "deployment"}})
    named = {word for word in text.replace('"', " ").split() if word.partition("-")[0] in BY_KIND and "-" in word}
    if record.kind != Trace.kind:
        assert named == {parent.id for parent in record.parents()}


@pytest.mark.parametrize(
    ("record", "parents"),
    [
        (samples.DATASET, {"review": samples.REVIEW.id}),
        (samples.RUN, {"recipe": samples.RECIPE.id, "dataset": samples.DATASET.id, "on_top_of": f"model-{C}"}),
        (samples.MODEL, {"run": samples.RUN.id, "dataset": samples.DATASET.id}),
        (samples.INDEX, {"previous": f"index-{B}"}),
        (samples.REPORT, {"suite": samples.SUITE.id, "model": samples.MODEL.id, "baseline": f"report-{C}"}),
        (samples.VERDICT, {"report": samples.REPORT.id, "gate": samples.GATE.id}),
        (
            samples.DEPLOYMENT,
            {
                "model": samples.MODEL.id,
                "policy": samples.POLICY.id,
                "index": samples.INDEX.id,
                "verdict": samples.VERDICT.id,
            },
        ),
        *((record, {}) for record in (samples.RECIPE, samples.SUITE, samples.GATE, samples.POLICY, samples.REVIEW)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_parents(record: Record, parents: dict[str, str]) -> None:
    assert {parent.role: parent.id for parent in record.parents()} == parents


@pytest.mark.parametrize(
    ("record", "blobs"),
    [
        (samples.DATASET, {A, B, C}),
        (samples.MODEL, {A, B}),
        (samples.INDEX, {A}),
        (samples.SUITE, {A}),
        (samples.REPORT, {B}),
        *((record, set()) for record in (samples.RECIPE, samples.RUN, samples.GATE, samples.VERDICT, samples.POLICY)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_blobs(record: Record, blobs: set[str]) -> None:
    assert set(record.blobs()) == blobs


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("clip", 0), ("warmup", 1.5), ("lora", {"rank": 0}), ("lora", {"rnak": 4}), ("schedule", "step")],
)
def test_a_recipe_refuses_nonsense(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Recipe.model_validate({"base": "b", field: value})


def test_null_means_every_weight() -> None:
    assert Recipe(base="b").lora == LoraSpec()
    assert Recipe(base="b", lora=None).id != Recipe(base="b").id


def test_unknown_roles_are_no_messages() -> None:
    with pytest.raises(ValidationError, match="role"):
        Message.model_validate({"role": "bot", "content": "hi"})


def test_the_project_schema_describes_itself() -> None:
    schema = json_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {name for name, field in Project.model_fields.items() if field.is_required()}
    lora = schema["$defs"]["LoraSpec"]["properties"]["alpha"]
    assert "rank" in lora["description"]  # docstrings of fields reach whoever edits the file
