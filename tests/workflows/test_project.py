"""luthier.yaml: what is wrong is named with its line, however the YAML is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from luthier.errors import BadConfig, LuthierError, UnknownName
from luthier.workflows.project import line_of, read
from tests.workflows.making import SETTINGS, project

GOOD = """\
name: lark            # 1
base: tiny
data:
  sources:
    - name: desk      # 5
      path: a.jsonl
      licence: CC0-1.0
      consent: contract
    - {name: other, path: b.csv, format: csv, mapping: {user: text}, licence: CC0-1.0, consent: contract}
knowledge: {documents: documents}   # 10
training:
  lora:
    rank: 4
  learning_rate: auto
evaluation:
  questions: [q.jsonl]
gate:
  limits:
    - {measure: facts, better_by: 0}
    - measure: cited  # 20
      better_by: 0
serving:
  policy: policy.yaml
  instructions: >-
    Answer from the passages.
    port: this is text and no key
"""


def refusal(folder: Path, text: str | bytes) -> LuthierError:
    file = folder / "luthier.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(LuthierError) as caught:
        read(folder)
    assert str(file) in caught.value.what
    assert "\n" not in str(caught.value), "one sentence"
    assert caught.value.mend
    return caught.value


def test_a_project_is_read(tmp_path: Path) -> None:
    (tmp_path / "luthier.yaml").write_text(GOOD)
    opened = read(tmp_path)
    assert opened.root == tmp_path.resolve()
    assert opened.workspace == tmp_path.resolve() / ".luthier"
    assert read(tmp_path / "luthier.yaml") == opened


@pytest.mark.parametrize(
    ("was", "now", "line", "key", "near"),
    [
        ("name: lark ", "nmae: lark ", 1, "nmae", "name"),  # a required one: the misspelling is the news
        ("knowledge:", "knowlege:", 10, "knowlege", "knowledge"),
        ("      licence: CC0-1.0\n", "      license: CC0-1.0\n", 7, "data.sources.0.license", "licence"),
        ("format: csv", "fromat: csv", 9, "data.sources.1.fromat", "format"),
        ("    rank: 4", "    rnak: 4", 13, "training.lora.rnak", "rank"),
        ("  learning_rate:", "  learningrate:", 14, "training.learningrate", "learning_rate"),
        (
            "- measure: cited  # 20\n      better_by",
            "- measure: cited  # 20\n      beter_by",
            21,
            "gate.limits.1.beter_by",
            "better_by",
        ),
        ("{documents: documents}", "{documents: documents,\n  passges: 3}", 11, "knowledge.passges", "passages"),
    ],
)
def test_a_wrong_key_is_named_with_its_line_and_the_nearest(
    tmp_path: Path, was: str, now: str, line: int, key: str, near: str
) -> None:
    assert was in GOOD
    error = refusal(tmp_path, GOOD.replace(was, now))
    assert isinstance(error, UnknownName)
    assert f"luthier.yaml:{line}: no setting is called {key!r}" in error.what
    assert error.mend == f"did you mean {near!r}?"


def test_a_key_like_no_other_gets_the_list(tmp_path: Path) -> None:
    error = refusal(tmp_path, GOOD + "zebra: 1\n")
    assert "base, data, evaluation" in error.mend


@pytest.mark.parametrize(
    ("was", "now", "line", "said"),
    [
        ("base: tiny\n", "", 1, "base is missing"),
        ("      path: a.jsonl\n", "", 5, "data.sources.0.path is missing"),
        ("  policy: policy.yaml\n", "", 22, "serving.policy is missing"),
        ("    rank: 4", "    rank: four", 13, "training.lora.rank is wrong"),
        ("    rank: 4", "    rank: 0", 13, "training.lora.rank is wrong"),
        ("learning_rate: auto", "learning_rate: fast", 14, "training.learning_rate is wrong"),
        ("  lora:\n    rank: 4\n", "  lora: 4\n", 12, "training.lora is wrong"),
        ("mapping: {user: text}", "mapping: {user: 4}", 9, "data.sources.1.mapping.user is wrong"),
        ("questions: [q.jsonl]", "questions: []", 16, "evaluation.questions is wrong"),
        ("name: lark ", "name: 2026-01-31 ", 1, "name is wrong"),
        ("name: lark ", "1: x\nname: lark ", 1, "1"),
        ("  policy: policy.yaml\n", "  policy: policy.yaml\n  port: 99999\n", 24, "serving.port is wrong"),
        ("training:\n", "training:\n  epochs: 0\n", 12, "training.epochs is wrong"),
        ("training:\n", "training:\n  warmup: 2\n", 12, "training.warmup is wrong"),
    ],
)
def test_what_is_missing_or_wrong_is_named_with_its_line(
    tmp_path: Path, was: str, now: str, line: int, said: str
) -> None:
    assert was in GOOD
    error = refusal(tmp_path, GOOD.replace(was, now, 1))
    assert isinstance(error, BadConfig)
    assert f"luthier.yaml:{line}: {said}" in error.what


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "holds no settings"),
        (b"# nothing but a comment\n", "holds no settings"),
        (b"- a\n- list\n", "holds no settings"),
        (b"just words", "holds no settings"),
        (b"name: a\n\tbase: b\n", ":2 is not YAML"),
        (b"name: [a\nbase: b\n", "is not YAML"),
        (b"name: a\n---\nname: b\n", ":2 is not YAML"),
        (b"name: *nobody\n", ":1 is not YAML"),
        (b"name: !!python/object:os.system x\n", ":1 is not YAML"),
        (b"? [a]\n: b\n", ":1 is not YAML"),
        (b"name: a\x00b\n", "is not YAML"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"name: 2026-13-45\n", "cannot read"),
        (b"name: " + b"[" * 5000, ""),
    ],
)
def test_what_is_no_yaml_is_said(tmp_path: Path, text: bytes, said: str) -> None:
    error = refusal(tmp_path, text)
    assert isinstance(error, BadConfig)
    assert said in error.what


def test_no_file_no_folder_and_a_folder_in_its_place(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "nowhere.yaml"):
        with pytest.raises(BadConfig, match="luthier init"):
            read(path)
    (tmp_path / "luthier.yaml").mkdir()
    with pytest.raises(BadConfig, match="cannot be read"):
        read(tmp_path)


def test_bom_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    (tmp_path / "luthier.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert read(tmp_path).project.name == "lark"
    error = refusal(tmp_path, GOOD.replace("    rank: 4", "    rnak: 4").replace("\n", "\r\n"))
    assert "luthier.yaml:13:" in error.what


def test_the_line_of_anything_in_tricky_yaml() -> None:
    text = """\
%YAML 1.1
---
defaults: &defaults   # 3
  rank: 4
a:
  <<: *defaults       # 6
  "quoted key": 1
  twice: 1
  twice: 2            # 9
b: *defaults
c: [1, {d: 2,
        e: 3}]        # 12
f: |
  g: text
? h
: i                   # 16
"""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for location, line in {
        ("a", "quoted key"): 7,
        ("a", "twice"): 9,
        ("a", "rank"): 5,
        ("b", "rank"): 4,
        ("c", 1, "e"): 12,
        ("c", 1, "nothing"): 11,
        ("c", 7): 11,
        ("f", "g"): 13,
        ("h",): 15,
        (): 3,
        ("nowhere", 3, "x"): 3,
    }.items():
        assert line_of(node, location) == line, location
    assert line_of(None, ("a",)) == 1


def test_the_settings_of_these_tests_are_a_project(tmp_path: Path) -> None:
    assert read(project(tmp_path)).project.name == SETTINGS["name"]
