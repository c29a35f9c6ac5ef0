"""The card holds what Croissant 1.1 requires, and every reference in it leads somewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from luthier.data.croissant import CONFORMS, CONTEXT, Published, card, licence_of
from luthier.records.base import sha256
from luthier.records.data import DatasetVersion, Message, Row, SourceUse

REQUIRED = ("@context", "@type", "conformsTo", "description", "license", "name", "url", "creator", "datePublished")
"""Properties that the specification lists as required for every dataset; `distribution` is required by Croissant."""
LINE = Row(
    id="a" * 16, split="train", source="desk", line=1, messages=(Message(role="user", content="x"),), language="en"
)
ROWS = json.dumps(LINE.body()).encode() + b"\n"
VERSION = DatasetVersion(
    name="support",
    rows=sha256(ROWS),
    sources=(
        SourceUse(name="desk", digest="1" * 64, licence="Apache-2.0", consent="contract", rows=1),
        SourceUse(name="shop", digest="2" * 64, licence="proprietary", consent="contract", rows=1),
    ),
    counts={"train": 1, "test": 1},
    languages={"en": 1},
    personal={"PERSON": 3},
    builder="luthier 0.1",
)
TOLD = Published(creator="Larkmoor Bank", on="2026-01-31", rows="rows.jsonl", size=len(ROWS))


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for key, each in value.items():
            if key != "@context":
                yield from nodes(each)
    if isinstance(value, list):
        for each in value:
            yield from nodes(each)


@pytest.fixture
def made() -> dict[str, Any]:
    return json.loads(json.dumps(card(VERSION, TOLD)))


def test_what_is_required(made):
    assert all(made[name] for name in (*REQUIRED, "distribution"))
    assert made["@type"] == "sc:Dataset"
    assert CONFORMS in made["conformsTo"]
    assert made["license"] == ["https://spdx.org/licenses/Apache-2.0.html", "proprietary"]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\+[0-9a-f]+)?", made["version"])
    (file,) = made["distribution"]
    assert file["@type"] == "cr:FileObject"
    assert (file["sha256"], file["contentSize"]) == (sha256(ROWS), f"{len(ROWS)} B")
    assert {"contentUrl", "encodingFormat", "name"} <= file.keys()


def test_ids_are_unique_and_references_lead_somewhere(made):
    defined = [node["@id"] for node in nodes(made) if "@type" in node and "@id" in node]
    assert len(defined) == len(set(defined))
    references = [node["@id"] for node in nodes(made) if set(node) == {"@id"}]
    assert references
    assert set(references) <= set(defined)


def test_every_word_is_schema_orgs_or_stands_in_the_context(made):
    schema_org = {
        *("name", "description", "license", "url", "creator", "datePublished", "version", "inLanguage"),
        *("distribution", "contentUrl", "contentSize", "encodingFormat", "sha256"),
    }
    used = {key for node in nodes(made) for key in node if not key.startswith(("@", "rai:", "splits/"))}
    assert used <= schema_org | CONTEXT.keys()


def test_the_fields_are_those_of_the_rows(made):
    rows = next(each for each in made["recordSet"] if each["@id"] == "rows")
    leaves = [leaf for field in rows["field"] for leaf in field.get("subField", [field])]
    assert {leaf["source"]["extract"]["column"] for leaf in leaves} == set(LINE.body())
    assert all(leaf["dataType"] and leaf["description"] for leaf in leaves)
    paths = {leaf["source"]["transform"]["jsonPath"] for leaf in leaves if "transform" in leaf["source"]}
    assert paths == {"role", "content"}
    (splits,) = (each for each in made["recordSet"] if each["@id"] == "splits")
    assert [each["splits/name"] for each in splits["data"]] == ["train", "test"]


@pytest.mark.parametrize(
    ("said", "written"),
    [("MIT", "https://spdx.org/licenses/MIT.html"), ("CC-BY-4.0", "https://spdx.org/licenses/CC-BY-4.0.html")]
    + [(own, own) for own in ("proprietary", "own", "our-house-terms")]
    + [("", "unknown")],
)
def test_licences(said, written):
    assert licence_of(said) == written
