"""`luthier data labels`: the five commands, one after the other, and who may use them."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from luthier.workflows.session import Session
from tests.cli.conftest import Luthier
from tests.data.conftest import pipeline, scrubber, weightless  # noqa: F401 - fixtures
from tests.workflows.making import World

SAMPLE = Path(str(files("luthier") / "sample" / "labels.yaml"))


def answered(file: Path, stars: dict[int, int]) -> None:
    """Annotators' ratings of the one task."""
    (task,) = json.loads(file.read_text())
    task["annotations"] = [
        {
            "completed_by": who,
            "updated_at": "2026-02-01T12:00:00Z",
            "result": [{"from_name": "stars", "type": "rating", "value": {"rating": value}}],
        }
        for who, value in stars.items()
    ]
    file.write_text(json.dumps([task]))


@pytest.mark.usefixtures("weightless")
def test_from_the_sample_schema_to_settled_labels(luthier: Luthier, bank: Path, made: World, tmp_path: Path) -> None:
    def run(*arguments: object) -> dict[str, Any]:
        people = luthier("data", "labels", *arguments, "--project", bank)
        assert (people.code, "Traceback" in people.err) == (0, False), people.err
        assert people.out.strip()
        return luthier("data", "labels", *arguments, "--project", bank, "--json").data

    put = run("schema", SAMPLE)
    assert (put["name"], put["new"]) == ("support-answers", False)
    tasks = tmp_path / "tasks.json"
    to = ("--dataset", made.dialogues.id, "--tool", "label-studio")
    assert run("export", "--to", tasks, *to)["rows"] == 1
    assert (tmp_path / "tasks.config.xml").read_text().startswith("<View>")
    answered(tasks, {7: 4, 8: 2, 9: 9})
    taken = run("import", tasks, *to, "--user", "7=ana", "--by", "ben")
    assert (taken["new"], taken["known"]) == (0, 2), "the first run took them"
    assert taken["refused"] == [{"task": 1, "reason": "'stars' asks for a number from 1 to 5"}]
    shown = run("show")
    assert shown["annotators"] == ["ana", "ben"]
    assert [each["question"] for each in shown["open"]] == ["stars"]
    assert shown["agreement"][0]["kappa"] == [{"annotators": ["ana", "ben"], "kappa": 0.0}]
    assert run("export", "--to", tasks, *to, "--open")["rows"] == 1
    answered(tasks, {1: 5})
    done = run("settle", "--adjudicate", tasks, *to, "--by", "chief", "--at-least", "2")
    assert (done["settled"], done["open"], done["how"]) == (1, [], {"adjudicated": 1})
    opened = Session.open(bank)
    verbs = [event.verb for event in opened.workspace.ledger.events()]
    opened.close()
    assert verbs.count("settled") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("settle", "--adjudicate", SAMPLE), "which tool"),
        (("settle",), "no labelling schema"),
        (("show", "--schema", "x"), "no labelling schema"),
        (("import", SAMPLE, "--tool", "argilla", "--user", "7"), "--user takes"),
    ],
)
@pytest.mark.usefixtures("made")
def test_what_goes_wrong_says_the_mend(luthier: Luthier, bank: Path, arguments: tuple[Any, ...], said: str) -> None:
    done = luthier("data", "labels", *arguments, "--project", bank)
    assert done.code in (1, 2)
    assert said in done.error


@pytest.mark.usefixtures("made")
def test_who_may(luthier: Luthier, bank: Path) -> None:
    keys = {
        role: luthier("keys", "add", role, "--role", role, "--project", bank, "--json").data["key"]
        for role in ("caller", "auditor", "reviewer")
    }
    where = ("--project", bank, "--key")
    for role in ("caller", "auditor"):
        assert "may not review" in luthier("data", "labels", "schema", SAMPLE, *where, keys[role]).error
    assert luthier("data", "labels", "schema", SAMPLE, *where, keys["reviewer"]).code == 0
    assert "may not read" in luthier("data", "labels", "show", *where, keys["caller"]).error
    for command in (("settle",), ("import", SAMPLE, "--tool", "argilla")):
        assert "may not review" in luthier("data", "labels", *command, *where, keys["auditor"]).error
    opened = Session.open(bank)
    (event,) = [each for each in opened.workspace.ledger.events() if each.subject.startswith("schema-")]
    opened.close()
    assert event.by == "reviewer"
