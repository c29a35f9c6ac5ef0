"""`luthier data scrub`, with the scrubber that needs no pulled model."""

import json

import pytest
from click.testing import CliRunner

from luthier import plugins
from luthier.cli.scrub_command import scrub
from luthier.errors import BadConfig, BadData, GateFailed
from tests.data.conftest import pipeline, scrubber  # noqa: F401

MAIL = "Hi, I'm Anna Schmidt. Please write to anna@example.com.\n\nThe second paragraph has nothing.\n"


@pytest.fixture(autouse=True)
def _weightless(monkeypatch, scrubber):  # noqa: F811
    real = plugins.find
    monkeypatch.setattr(
        plugins, "find", lambda kind, name: (lambda **_: scrubber) if kind == "scrubber" else real(kind, name)
    )


@pytest.fixture
def mail(tmp_path):
    (tmp_path / "mail.txt").write_text(MAIL)
    return str(tmp_path / "mail.txt")


def run(tmp_path, *arguments):
    return CliRunner().invoke(scrub, [*arguments, "--project", str(tmp_path)], catch_exceptions=True)


def test_a_text_without_its_personal_data(tmp_path, mail):
    done = run(tmp_path, mail)
    assert "Hi, I'm <PERSON_1>. Please write to <EMAIL_1>." in done.output
    assert "Schmidt" not in done.output


def test_the_report(tmp_path, mail):
    done = run(tmp_path, mail, "--report", "--per-type", "10", "--json")
    report = json.loads(done.output)
    assert report["types"]["IBAN"]["recall"] == {"share": 1.0, "of": 10, "low": 0.6915, "high": 1.0}
    assert report["found_in_own_texts"]["EMAIL"] > 0
    again = run(tmp_path, mail, "--report", "--per-type", "10", "--json")
    assert again.output == done.output


def test_the_gate(tmp_path, mail):
    assert run(tmp_path, mail, "--per-type", "10", "--at-least", "iban=0.9").exit_code == 0
    failed = run(tmp_path, mail, "--per-type", "10", "--at-least", "PERSON=1")
    assert isinstance(failed.exception, GateFailed)
    machine = run(tmp_path, mail, "--per-type", "10", "--at-least", "PERSON=1", "--json")
    assert json.loads(machine.output)["error"]["type"] == "GateFailed"
    assert machine.exit_code == 3


def test_dialogues(tmp_path):
    row = {"messages": [{"role": "user", "content": "I'm Anna Schmidt"}, {"role": "assistant", "content": "Hello"}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    assert run(tmp_path, str(tmp_path / "rows.jsonl")).output == "I'm <PERSON_1>\nHello\n"


def test_what_cannot_be_asked(tmp_path, mail):
    assert isinstance(run(tmp_path, mail, "--at-least", "PERSON").exception, BadConfig)
    assert isinstance(run(tmp_path, mail, "--at-least", "SHOE=0.5").exception, BadConfig)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    assert isinstance(run(tmp_path, str(tmp_path / "bytes.txt")).exception, BadData)
