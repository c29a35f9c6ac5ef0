"""The names of records never change: an id written today has to be found in ten years.

A change of one of these lines renames every record of its kind in every ledger. A field that is added needs a default,
and a default never changes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic_core import to_jsonable_python

from luthier.records.base import Record, Value, canonical, sha256
from luthier.records.kinds import BY_KIND
from tests.records import samples

MADE = {
    "dataset": "dataset-26443bc2b7374cf172764d959cb2a87458d677f13ce061ad7d44c2dd9da23142",
    "recipe": "recipe-c7352587477b73579b01cf470e6d34f894f36c9544f8897918db1311ef5a8644",
    "model": "model-ea6d4bbe5d6fc7be2e27e46991597869643f27dfeed1a866615d304783469918",
    "index": "index-b001bedb2ae4d64dcdaa04607cd9db4ef878f20a014cc2d315631a2e3c400dcc",
    "suite": "suite-4b47a9ebbdb1f12fa44dd5b1458be1d3cdebadf7addbc4c648a276903521659b",
    "report": "report-60cf8fd114f7e09dc2e9edb8053649c19f8d3a0b2ede3fa4cd378ff56a6bb4d7",
    "gate": "gate-bddf2bfcfbcbd6a6a3712a8ff2db29567f4c050fcca1d65249cbcfb9eb2e0ee0",
    "verdict": "verdict-36a67d321d0bd4c04f6d1168223ed4eb4f4ac754e733fd2aef4d469df259ba94",
    "policy": "policy-3a040611a646e8a4923e2200ed521f8f2eb696534915c22de41a988bde459c49",
    "schema": "schema-187811cdfcc2296d4bf1ca0a6edb18cd5ef34fa78f8789e2229d25e04e199981",
    "labels": "labels-acb41571dd4b691c1fd59726d20560829ff6bdf5541b177c977d2db972299276",
}
"""Ids of the samples that are named by their content."""
HAPPENED = {
    "run": "3cb01a1555d352ea8a0f1e73c1020e2cc07d1e8bfd33e8dae6dd0d8c9e62844c",
    "deployment": "b520a4e377a96355450b199e6abdb84a6901f24b99a2601dff3d61c9bb939447",
    "review": "1d34272d23f1ec5f89b74067c1a3e557ce9e0bbad964b2cd80e9c52e32783dcf",
    "chatcmpl": "c183b679d7138949fe188dc161becbc3091eb09e849ede093f5b3e30fc7d921b",
}
"""sha256 of the canonical bodies of those that are named by their moment."""


def test_every_kind_is_here() -> None:
    assert set(MADE) | set(HAPPENED) == {*BY_KIND, samples.TRACE.kind}


@pytest.mark.parametrize("record", [*samples.KEPT, samples.TRACE], ids=lambda record: record.kind)
def test_golden(record: Record) -> None:
    if record.kind in MADE:
        assert record.id == MADE[record.kind]  # type: ignore[attr-defined]
    else:
        assert sha256(canonical(record.body())) == HAPPENED[record.kind]


def defaults() -> dict[str, dict[str, object]]:
    """Every default of every record and part of a record, as JSON data."""
    found: dict[str, dict[str, object]] = {}
    for model in subclasses(Value):
        if model.__module__.startswith("luthier.records.") and not model.__module__.endswith(".project"):
            fields = {name: field for name, field in model.model_fields.items() if not field.is_required()}
            found[model.__name__] = to_jsonable_python({name: field.get_default() for name, field in fields.items()})
    return {name: found[name] for name in sorted(found) if found[name]}


def subclasses(model: type[Value]) -> list[type[Value]]:
    return [found for child in model.__subclasses__() for found in (child, *subclasses(child))]


def test_defaults_never_change() -> None:
    """A body leaves defaults out, so another default would change what old records mean without renaming them.

    A new field is added to defaults.json; a line that stands there stays as it is.
    """
    assert defaults() == json.loads(Path(__file__).with_name("defaults.json").read_text(encoding="utf-8"))
