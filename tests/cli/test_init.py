"""`luthier init`: what it writes is read again, and the schema says what the reader says."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from luthier.cli.init_ import TEMPLATE
from luthier.gateway.policy_file import read_policy
from luthier.workflows.project import read
from tests.cli.conftest import Luthier
from tests.cli.schema import problems
from tests.workflows.making import SETTINGS


def test_what_it_writes_is_a_project(luthier: Luthier, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "assistant"
    said = luthier("init", folder, "--json")
    assert (said.code, said.data["written"]) == (0, ["luthier.yaml", "policy.yaml", "luthier.schema.json"])
    assert read(folder).project.serving.alias == "assistant"
    assert read_policy(folder / "policy.yaml").rules
    assert sorted(path.name for path in folder.iterdir()) == sorted(said.data["written"])


def test_what_is_there_is_left_alone(luthier: Luthier, tmp_path: Path) -> None:
    (tmp_path / "luthier.yaml").write_text("mine")
    assert luthier("init", tmp_path, "--json").data["written"] == ["policy.yaml", "luthier.schema.json"]
    assert "nothing was changed" in luthier("init", tmp_path).out
    assert (tmp_path / "luthier.yaml").read_text() == "mine"


def test_where_it_cannot_write_it_says_so(luthier: Luthier, tmp_path: Path) -> None:
    said = luthier("init", "/proc/luthier")
    assert said.code == 1
    assert "/proc/luthier cannot be written" in said.error
    (tmp_path / "file").touch()
    assert luthier("init", tmp_path / "file").code == 1


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"training": {"lora": None, "learning_rate": 1e-4}}, True),
        ({"zebra": 1}, False),
        ({"base": 4}, False),
        ({"training": {"lora": {"rank": 0}}}, False),
        ({"training": {"lora": {"rnak": 4}}}, False),
        ({"training": {"learning_rate": "fast"}}, False),
        ({"gate": {"limits": []}}, False),
        ({"data": {"sources": [{"name": "a"}]}}, False),
    ],
)
def test_the_schema_accepts_what_the_reader_accepts(luthier: Luthier, change: dict[str, object], fits: bool) -> None:
    schema = luthier("init", "--schema").data
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    found = problems(schema, SETTINGS | change, schema)
    assert (found == []) is fits, found


def test_the_schema_accepts_the_sample_and_the_template(luthier: Luthier) -> None:
    schema = luthier("init", "--schema", "--json").data
    sample = (files("luthier") / "sample" / "luthier.yaml").read_text(encoding="utf-8")
    for text in (sample, TEMPLATE):
        assert problems(schema, yaml.safe_load(text), schema) == []
