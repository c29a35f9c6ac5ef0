"""What goes wrong at a user's: one clear sentence with the mend, the right exit code, and nothing lost."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from luthier.lm.folders import MANIFEST
from luthier.store import keys
from luthier.workflows.session import Session
from tests.cli.conftest import Luthier
from tests.workflows.making import World, chat

GOOD = json.dumps(chat("What does a card cost?", "9 EUR.")).encode()


def turns(*roles: str) -> bytes:
    return json.dumps({"messages": [{"role": role, "content": "Hello."} for role in roles]}).encode()


FILES: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "broken JSON": (lambda: GOOD + b'\n{"messages": [\n', 2, "is not JSON"),
    "no assistant": (lambda: GOOD + b"\n\n" + turns("user") + b"\n", 3, "no assistant turn"),
    "unknown role": (lambda: turns("user", "bot"), 1, "one of system, user, assistant, tool"),
    "50 MB line": (
        lambda: GOOD + b"\n" + b'{"messages": "' + b"x" * 50_000_000 + b'"}\n' + GOOD,
        2,
        "longer than 10 MB",
    ),
    "binary": (lambda: b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe" * 9, 1, ""),
    "no object": (lambda: b"[1, 2]", 1, "no JSON object"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_told_line_by_line(luthier: Luthier, tmp_path: Path, name: str) -> None:
    content, line, said = FILES[name]
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content())
    found = luthier("data", "check", file, "--json")
    assert found.code == 0
    assert found.data["refused"][0]["line"] == line
    assert said in found.data["refused"][0]["reason"]
    assert found.data["rows"] == content().count(b"9 EUR")
    assert luthier("data", "check", file).code == 0


@pytest.mark.parametrize("name", [*FILES, "empty"])
def test_a_bad_file_ends_a_build_with_a_sentence(luthier: Luthier, bank: Path, made: World, name: str) -> None:
    content, line, said = FILES.get(name, (lambda: b"", 0, "hold no row"))
    (bank / "dialogues.jsonl").write_bytes(content())
    found = luthier("data", "build", "--project", bank)
    assert found.code == 1
    assert said in found.error
    if line:
        assert f"line {line}" in found.error or f":{line}" in found.error
    kept = luthier("data", "show", "--project", bank, "--json")
    assert kept.data["id"] == made.dialogues.id, "the version before is still the newest"
    assert luthier("audit", "verify", "--project", bank).code == 0


def test_an_empty_file_has_no_rows(luthier: Luthier, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    assert luthier("data", "check", tmp_path / "rows.jsonl", "--json").data == {"rows": 0, "refused": []}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("data", "check", "nothing.jsonl"), 1, "nothing.jsonl"),
        (("data", "check", __file__, "--format", "cvs"), 1, "csv"),
        (("data", "check", __file__, "--map", "user"), 1, "user=question"),
        (("data", "check", __file__, "--map", "user=a"), 1, "cannot map"),
        (("nonsense",), 1, "nonsense"),
        (("data", "build", "--project", "/nowhere"), 1, "luthier init"),
        (("train", "--project", "{bank}"), 1, "luthier data build"),
        (("why", "chatcmpl-nothing", "--project", "{bank}"), 1, "luthier data build"),
        (("models", "pull", "smollm"), 1, "smollm2"),
        (("keys", "add", "x", "--role", "king", "--project", "{bank}"), 1, "king"),
        (("init", "/proc/x"), 1, "check the path"),
        (("serve", "--port", "99999"), 1, "99999"),
    ],
)
def test_what_is_asked_wrongly(luthier: Luthier, bank: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    given = [argument.format(bank=bank) for argument in arguments]
    found = luthier(*given)
    assert found.code == code
    assert said in found.err
    assert "Traceback" not in found.err
    assert found.out == ""
    if "serve" not in given:
        machine = luthier(*given, "--json")
        assert machine.code == code
        assert set(machine.data) == {"error"}
        assert machine.data["error"]["mend"]


def test_a_wrong_key_in_the_project_file(luthier: Luthier, bank: Path) -> None:
    file = bank / "luthier.yaml"
    file.write_text(file.read_text().replace("passages:", "passges:"))
    for command in (("train",), ("data", "build"), ("serve",), ("jobs",), ("audit", "verify")):
        found = luthier(*command, "--project", bank)
        assert found.code == 1
        line = file.read_text().splitlines().index("  passges: 2") + 1
        assert f"luthier.yaml:{line}: no setting is called 'knowledge.passges'" in found.error
        assert "did you mean 'passages'?" in found.error


def test_a_missing_model_and_a_damaged_one(
    luthier: Luthier, bank: Path, made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_HOME", str(tmp_path / "home"))
    for command in (("knowledge", "build"), ("train",), ("eval",), ("serve", "--port", "0")):
        found = luthier(*command, "--project", bank)
        assert found.code == 1, command
        assert "luthier models pull" in found.error, command
    listed = luthier("models", "list", "--json").data["models"]
    assert [model["pulled"] for model in listed] == [False] * len(listed)
    doctor = luthier("doctor", "--project", bank, "--json")
    assert doctor.code == 1
    mends = [check["mend"] for check in doctor.data["checks"] if not check["ok"]]
    assert "luthier models pull all-minilm-l6-v2" in mends

    folder = tmp_path / "home" / "models" / "all-minilm-l6-v2"
    folder.mkdir(parents=True)
    recorded = {"luthier": 1, "files": {"config.json": {"bytes": 7, "sha256": "0" * 64}}}
    (folder / MANIFEST).write_text(json.dumps(recorded))
    (folder / "config.json").write_text("{}")
    found = luthier("knowledge", "build", "--project", bank)
    assert found.code == 6
    assert "gone or changed since it was pulled" in found.error
    assert "damaged" in luthier("models", "list").out
    assert "damaged" in luthier("doctor", "--project", bank, "--json").out


def test_a_port_in_use(luthier: Luthier, bank: Path, made: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = luthier("serve", "--project", bank, "--port", port)
    assert found.code == 2
    assert f"port {port} on 127.0.0.1 is in use" in found.error.lower()
    assert "--port" in found.error
    foreign = luthier("serve", "--project", bank, "--host", "192.0.2.1", "--port", port)
    assert foreign.code == 1
    assert "in use" not in foreign.error
    assert luthier("serve", "--project", bank, "--host", "no.such.host.invalid", "--port", port).code == 1


HOLD = """
import sys
from pathlib import Path
from luthier.store.workspace import Workspace
with Workspace.open(Path(sys.argv[1])) as workspace, workspace.lock("training"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_on_one_workspace(luthier: Luthier, bank: Path, made: World) -> None:
    command = [sys.executable, "-c", HOLD, str(bank / ".luthier")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        for work in (("data", "build"), ("train",), ("knowledge", "build")):
            found = luthier(*work, "--project", bank)
            assert found.code == 2, work
            assert f"process {other.pid} (training)" in found.error
        assert luthier("keys", "list", "--project", bank).code == 0, "reading goes on"
        other.kill()
    opened = Session.open(bank)
    with opened.workspace.lock("a test"):  # free again, though its holder was killed
        opened.close()


def test_a_tampered_row_is_found(luthier: Luthier, bank: Path, made: World) -> None:
    assert luthier("audit", "verify", "--project", bank, "--json").data["ok"] is True
    with closing(sqlite3.connect(bank / ".luthier" / "ledger.db")) as ledger:
        for (name,) in ledger.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            ledger.execute(f"drop trigger {name}")
        ledger.execute("update record set body = replace(body, '0.9', '1.0') where id = ?", (made.report.id,))
        ledger.commit()
    found = luthier("audit", "verify", "--project", bank)
    assert found.code == 6
    assert "not what was recorded" in found.error
    assert set(luthier("audit", "verify", "--project", bank, "--json").data) == {"error"}


LIMITED = """
import resource, sys
from luthier.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
for number in range(int(sys.argv[2])):
    main([part.format(number=number) for part in sys.argv[3:]])
    print("done", flush=True)
"""


def limited(size: int, times: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIMITED, str(size), str(times), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_full_disk_while_the_ledger_is_written(luthier: Luthier, bank: Path, made: World) -> None:
    ended = limited(70_000, 60, "keys", "add", "key{number}", "--role", "caller", "--project", bank)
    assert ended.returncode == 2
    assert "takes no more bytes" in ended.stderr
    assert "→ free some space" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert luthier("audit", "verify", "--project", bank).code == 0
    opened = Session.open(bank)
    known = [key.name for key in keys.ls(opened.workspace.ledger)]
    opened.close()
    done = ended.stdout.count("done")
    assert known[:done] == [f"key{number}" for number in range(done)], "what was said to be done is there"
    assert luthier("keys", "add", "after", "--role", "caller", "--project", bank).code == 0


def test_a_full_disk_while_files_are_written(tmp_path: Path) -> None:
    ended = limited(1000, 1, "init", tmp_path / "new")
    assert ended.returncode == 2
    assert "takes no more bytes" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list((tmp_path / "new").iterdir()) == [], "no half of a file"
