"""The whole ring with the real models, once: killed in the middle of training, started again, then asked everything."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from luthier.lm.pull import home

NEEDED = ("smollm2-135m-instruct", "all-minilm-l6-v2", "en-core-web-sm")
missing = [name for name in NEEDED if not (home() / name).is_dir()]
pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.skipif(bool(missing), reason=f"these models are not pulled: {', '.join(missing)}"),
]
LUTHIER = (sys.executable, "-m", "luthier.cli.main")


def luthier(*arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON that a command prints; it has to end with that exit code."""
    done = subprocess.run([*LUTHIER, *arguments, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout)


def steps_done(folder: Path) -> int:
    """Training steps that the run in `folder` has behind it."""
    found = list(folder.glob(".luthier/runs/*/metrics.jsonl"))
    return len(found[0].read_text().splitlines()) if found else 0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The demonstration, killed with kill -9 after a few training steps and started again."""
    folder = tmp_path_factory.mktemp("demo") / "bank"
    first = subprocess.Popen([*LUTHIER, "demo", str(folder)], stderr=subprocess.DEVNULL)
    while steps_done(folder) < 14 and first.poll() is None:
        time.sleep(0.5)
    assert first.poll() is None, "the demonstration ended before it could be killed"
    first.send_signal(signal.SIGKILL)
    first.wait()
    return folder, luthier("demo", str(folder))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`luthier serve` on a free port; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([*LUTHIER, "serve", "--project", str(folder), "--port", str(port)])
    try:
        for _ in range(600):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


def test_the_tuned_model_passes_its_gate(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, made = demo
    assert made["outcome"] == "deployed"
    models = luthier("release", "list", "--project", str(folder))["models"]
    assert any(model["state"] == "live" for model in models)
    page = (folder / "report.html").read_text()
    assert page.count("<svg") >= 4
    assert "http" not in re.sub(r"http://www\.w3\.org/2000/svg", "", page), "the report has to need nothing else"


def test_each_question_of_the_show_ended_as_it_should(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, made = demo
    traces = {role: luthier("why", trace, "--project", str(folder))["trace"] for role, trace in made["answers"].items()}
    endings = {role: trace["ending"] for role, trace in traces.items()}
    assert endings["answered"] == "answered"
    assert endings["refused"] == "refused"
    assert endings["escalated"] == "escalated"


def test_why_names_everything_behind_an_answer(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, made = demo
    found = luthier("why", made["answers"]["answered"], "--project", str(folder))
    kinds = {step["id"].partition("-")[0] for step in found["chain"]}
    assert {"deployment", "model", "run", "recipe", "dataset", "index", "policy", "verdict", "report"} <= kinds
    assert any(citation["verified"] for citation in found["trace"]["citations"])
    assert {event["verb"] for event in found["approvals"]} == {"proposed", "approved"}


def test_impact_names_dataset_and_model_of_a_person(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, made = demo
    found = luthier("impact", "Marta Kovar", "--project", str(folder))
    touched = {step["id"] for step in found["touched"]}
    assert made["dialogues"] in touched
    assert made["model"] in touched
    assert found["aliases"] == ["support"]
    luthier("impact", "Nobody Atall", "--project", str(folder), code=1)


def test_no_planted_person_is_left_in_the_rows(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = demo
    held = b"".join(path.read_bytes() for path in (folder / ".luthier" / "blobs").rglob("*") if path.is_file())
    assert b"Marta Kovar" not in held


def test_the_correction_is_in_the_next_dataset(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, made = demo
    following = luthier("data", "show", made["next"], "--project", str(folder))
    assert [source["rows"] for source in following["sources"] if source["name"] == "accepted-reviews"] == [1]


def test_a_second_demo_does_not_start_anew(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = demo
    jobs = luthier("jobs", "--project", str(folder))["jobs"]
    assert [job["status"] for job in jobs] == ["success"]


def test_an_unmodified_openai_client_chats(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = demo
    key = luthier("keys", "add", "dev", "--role", "caller", "--project", str(folder))["key"]
    with served(folder) as url:
        client = OpenAI(base_url=url, api_key=key)
        assert [model.id for model in client.models.list()] == ["support"]
        asked: Any = [{"role": "user", "content": "What does a replacement for a stolen Lark Debit card cost?"}]
        whole = client.chat.completions.create(model="support", messages=asked)
        said = whole.choices[0].message.content
        assert said
        streamed = client.chat.completions.create(model="support", messages=asked, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices) == said
        with pytest.raises(Exception, match=r"401|key"):
            OpenAI(base_url=url, api_key="sk-wrong").models.list()


def test_one_flipped_byte_is_found(demo: tuple[Path, dict[str, Any]]) -> None:
    folder, made = demo
    assert luthier("audit", "verify", "--project", str(folder))["ok"]
    files = (path for path in (folder / ".luthier" / "blobs").rglob("*") if path.is_file())
    blob = next(path for path in files if path.stat().st_size > 99)
    kept = blob.read_bytes()
    os.chmod(blob, 0o644)
    blob.write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
    luthier("audit", "verify", "--project", str(folder), code=6)
    blob.write_bytes(kept)
    with closing(sqlite3.connect(folder / ".luthier" / "ledger.db")) as ledger:
        for (name,) in ledger.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            ledger.execute(f"drop trigger {name}")
        ledger.execute("update record set body = replace(body, 'larkmoor', 'larkmooR') where id = ?", (made["model"],))
        ledger.commit()
    luthier("audit", "verify", "--project", str(folder), code=6)
