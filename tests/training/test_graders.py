"""Graders: what each marks, and what no `grade` of a stranger can do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import BadConfig, UnknownName
from luthier.lm.chat import Chat
from luthier.lm.scored import load_scored, score
from luthier.records.data import Message
from luthier.training.graders import multi, python_function, reward_model, score_model, string_check, text_similarity
from luthier.training.graders.grader import Folders, Grade, Sample, filled, load
from luthier.training.graders.sandbox import Limits, run

HELLO = Message(role="user", content="How do I block my card?")


def sample(answer: str, reference: str = "Call the hotline.", **metadata: str) -> Sample:
    return Sample((HELLO,), answer, reference, metadata, "row-1")


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@pytest.mark.parametrize(
    ("operation", "answer", "mark"),
    [
        ("eq", "Call the hotline.", 1.0),
        ("eq", "call the hotline.", 0.0),
        ("ne", "Call the hotline.", 0.0),
        ("ne", "No.", 1.0),
        ("like", "Please: Call the hotline. Now.", 1.0),
        ("like", "CALL THE HOTLINE.", 0.0),
        ("ilike", "CALL THE HOTLINE. NOW", 1.0),
    ],
)
def test_string_check(operation: str, answer: str, mark: float, folders: Folders) -> None:
    grade = string_check.grader({"operation": operation}, folders)
    assert grade([sample(answer)]) == [Grade(mark)]


def test_no_reference_is_a_fault_and_no_mark(folders: Folders) -> None:
    for made in (string_check.grader({"operation": "like"}, folders), text_similarity.grader({}, folders)):
        (grade,) = made([sample("anything", reference="")])
        assert grade.score == 0
        assert "row-1 has no text to compare with" in grade.fault


@pytest.mark.parametrize("metric", ["fuzzy_match", "token_f1"])
def test_text_similarity(metric: str, folders: Folders) -> None:
    grade = text_similarity.grader({"evaluation_metric": metric}, folders)
    same, near, far = grade([sample("Call the hotline."), sample("Call the hot line now"), sample("xyz qqq")])
    assert same.score == 1 > near.score > far.score
    assert far.score <= 0.2


def test_token_f1_is_the_textbooks() -> None:
    assert text_similarity.token_f1("a b c", "B c d e") == pytest.approx(2 * 2 / 7)


def test_templates() -> None:
    one = sample("yes {{item.reference_answer}}", topic="cards")
    assert filled("{{ item.topic }}: {{item.question}} -> {{sample.output_text}}", one) == (
        "cards: How do I block my card? -> yes {{item.reference_answer}}"  # and not filled again
    )
    with pytest.raises(BadConfig, match=r"row-1 has nothing for \{\{item.colour\}\}"):
        filled("{{item.colour}}", one)


def test_multi_weighs_and_shows_its_parts(folders: Folders) -> None:
    parts = {"right": {"type": "string_check", "operation": "ilike", "reference": "hotline"}, "near": SIMILAR}
    grade = multi.grader({"graders": parts, "calculate_output": "0.8 * right + 0.2 * max(near, 0)"}, folders)
    good, bad = grade([sample("Call the hotline."), sample("zzz")])
    assert good == Grade(1.0, parts={"right": 1.0, "near": 1.0})
    assert bad.score == pytest.approx(0.2 * bad.parts["near"]) == pytest.approx(0.0, abs=0.1)
    mean = multi.grader({"graders": parts}, folders)
    assert mean([sample("Call the hotline.")])[0].score == 1


SIMILAR = {"type": "text_similarity"}


@pytest.mark.parametrize(
    "formula",
    ["a.b", "__import__('os')", "near ** 9", "near if near else 1", "[near]", "near[0]", "1 +", "other", "'a'"],
)
def test_a_formula_is_no_program(formula: str, folders: Folders) -> None:
    with pytest.raises(BadConfig, match="formula"):
        multi.grader({"graders": {"near": SIMILAR}, "calculate_output": formula}, folders)


def test_a_part_that_fails_is_said(folders: Folders) -> None:
    grade = multi.grader({"graders": {"near": SIMILAR}, "calculate_output": "1 / near"}, folders)
    assert "no value" in grade([sample("zzz", reference="aaa")])[0].fault
    assert grade([sample("zzz", reference="")])[0].fault.startswith("near: ")


def test_what_cannot_be_loaded(folders: Folders) -> None:
    with pytest.raises(BadConfig, match="a grader has no type"):
        load({}, folders)
    with pytest.raises(UnknownName, match="string_chek"):
        load({"type": "string_chek"}, folders)
    with pytest.raises(BadConfig, match="grader string_check: operation"):
        string_check.grader({"operation": "same"}, folders)


# The sandbox

BODY = "def grade(sample, item):\n    "
LIMITS = Limits(2.0, 256 << 20)
SAMPLES = [{"sample": {"output_text": "abc"}, "item": {"reference_answer": "abc"}}] * 2


def does(body: str, limits: Limits = LIMITS) -> list[float | str]:
    return run(BODY + body, SAMPLES, limits)


def test_a_python_grader_marks(folders: Folders) -> None:
    source = BODY + "import re; return len(re.findall('o', sample['output_text'])) / len(item['question'])"
    grade = python_function.grader({"source": source}, folders)
    assert grade([sample("ooo"), sample("x")]) == [Grade(3 / len(HELLO.content)), Grade(0.0)]


ESCAPES = {
    "a socket": "import socket; socket.socket(); return 1",
    "a name server": "import socket; socket.getaddrinfo('localhost', 80); return 1",
    "/etc/passwd": "return len(open('/etc/passwd').read())",
    "this file": f"return len(open({__file__!r}).read())",
    "a listing": "import os; return len(os.listdir('/'))",
    "its parent's environment": "import os; return len(open(f'/proc/{os.getppid()}/environ').read())",
    "its parent's memory": "import os; return len(open(f'/proc/{os.getppid()}/mem', 'rb').read(1))",
    "a file here": "open('x', 'w').write('hello'); return 1",
    "a file in /tmp": "import tempfile; tempfile.TemporaryFile(); return 1",
    "a mode": f"import os; os.chmod({__file__!r}, 0o777); return 1",
    "a time": f"import os; os.utime({__file__!r}); return 1",
    "a removal": f"import os; os.remove({__file__!r}); return 1",
    "a link": f"import os; os.symlink({__file__!r}, 'x'); return 1",
    "a fork": "import os; os.fork(); return 1",
    "a command": "import subprocess; subprocess.run(['ls']); return 1",
    "another program": "import os; os.execv('/bin/true', ['true']); return 1",
    "a thread": "import threading; threading.Thread(target=print).start(); return 1",
    "a signal": "import os; os.kill(os.getppid(), 9); return 1",
    "its limits": "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1)); return 1",
    "a system call": "import ctypes; n = ctypes.CDLL(None).syscall(41, 2, 1, 0); return 1 if n >= 0 else 1 / 0",
    "memory": "return len(bytearray(10 ** 10))",
    "little by little": "x = []\n    while True: x.append(bytearray(10 ** 7))",
    "an installed package": "import numpy; return 1",
}


@pytest.mark.parametrize("what", ESCAPES)
def test_nothing_gets_out(what: str) -> None:
    before = Path(__file__).stat()
    results = does(ESCAPES[what])
    assert len(results) == 2
    assert all(isinstance(each, str) for each in results), f"{what}: {results}"
    after = Path(__file__).stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_no_socket_reaches_a_server_that_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        port = listening.getsockname()[1]
        body = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1); return 1"
        assert all("Operation not permitted" in str(each) for each in does(body))
        with pytest.raises(TimeoutError):
            listening.accept()


def test_a_fork_bomb_starts_nothing() -> None:
    body = "import os\n    n = 0\n    for _ in range(1000):\n        try: n += os.fork() > 0\n"
    assert does(body + "        except OSError: pass\n    return n") == [0.0, 0.0]


def test_an_endless_loop_costs_its_sample_alone() -> None:
    body = "while sample['output_text'] == 'long': pass\n    return 1"
    texts = ["short", "long", "short"]
    samples = [{"sample": {"output_text": text}, "item": {}} for text in texts]
    assert run(BODY + body, samples, Limits(0.5, 256 << 20)) == [1.0, "grade took longer than 0.5 s", 1.0]


def test_one_that_always_dies_is_given_up() -> None:
    results = run(BODY + "import os; os._exit(0)", SAMPLES * 10, LIMITS)
    assert len(results) == 20
    assert results[0] == "grade ended its process (out of memory or processor seconds?)"
    assert results[-1] == "given up after 3 children ended"


def test_what_it_prints_is_no_result() -> None:
    assert does("import sys; print('{\"score\": 9}'); sys.stdout.flush(); return 1") == [1.0, 1.0]
    forged = does(
        "import os\n    for n in range(3, 9):\n        try: os.write(n, b'[9]\\n')\n        except OSError: pass"
    )
    assert all(isinstance(each, str) for each in forged)


def test_errors_are_told_in_one_line() -> None:
    assert does("return item['nothing']") == ["KeyError: 'nothing'"] * 2
    assert does("return float('nan')") == ["grade returned nan"] * 2
    assert does("raise SystemExit('bye')") == ["SystemExit: bye"] * 2
    assert does("return 'much'")[0] == "ValueError: could not convert string to float: 'much'"


def test_its_world_is_empty() -> None:
    assert does("import os; return len([n for n in os.environ if n != 'LC_CTYPE'])") == [0.0, 0.0]
    assert does("import sys; return sum('site-packages' in path for path in sys.path)") == [0.0, 0.0]


@pytest.mark.parametrize("source", ["x = 1", "def grade(", "import numpy"])
def test_a_source_that_is_no_grader_is_refused(source: str) -> None:
    with pytest.raises(BadConfig, match="the python grader cannot be used"):
        run(source, SAMPLES, LIMITS)


def test_without_a_fence_it_is_refused_or_said_to_be_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a kernel without Landlock: the child's own answer about its fences decides."""
    from luthier.training.graders import sandbox

    text = sandbox.JAIL.read_text(encoding="utf-8").replace("abi < 1", "abi < 10**9")
    bare = tmp_path / "jail.py"
    bare.write_text(text, encoding="utf-8")
    monkeypatch.setattr(sandbox, "JAIL", bare)
    with pytest.raises(BadConfig, match="cannot keep a python grader from files"):
        does("return 1")
    assert does("return 1", Limits(2.0, 256 << 20, unfenced=True)) == [1.0, 1.0]


# Judges and reward models


class Judge(BaseHTTPRequestHandler):
    """A server that says what the last message asks it to say."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = body["messages"][-1]["content"]
        found = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}], "usage": {}}
        data = json.dumps(found).encode()
        self.send_response(500 if "break" in said else 200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def judge() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Judge) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_judge(judge: str, folders: Folders) -> None:
    turn = {"role": "user", "content": "{{sample.output_text}}"}
    grade = score_model.grader({"url": judge, "model": "judge", "input": [turn], "range": [0, 10]}, folders)
    marks = grade([sample(text) for text in ("Score: 7.5", "1 of 10: 3", "no idea", "99", "break")])
    assert [mark.score for mark in marks] == [7.5, 3.0, 0, 0, 0]
    assert [mark.fault[:14] for mark in marks] == ["", "", "the judge said", "the judge said", marks[4].fault[:14]]
    assert "500" in marks[4].fault


def test_a_judge_who_is_not_there(folders: Folders) -> None:
    turn = {"role": "user", "content": "{{item.reference_answer}}"}
    grade = score_model.grader({"url": "http://127.0.0.1:9", "model": "x", "input": [turn]}, folders)
    assert "no server answers" in grade([sample("x")])[0].fault


def test_a_reward_model_scores_the_dialogue(base: Path, tmp_path: Path, folders: Folders) -> None:
    """A whole model with a head: each answer's score is that of the rendered dialogue, alone or beside others."""
    whole = tmp_path / "scored"
    model = load_scored(base, "float32")
    chat = Chat.load(base)
    model.save_pretrained(whole)
    chat.tokenizer.save_pretrained(whole)
    answers = ["Call the hotline.", "No.", "A replacement card costs 8 EUR and arrives within five working days."]
    grade = reward_model.grader({"model": str(whole)}, folders)
    for answer, mark in zip(answers, grade([sample(each) for each in answers]), strict=True):
        ids = chat.training_ids((HELLO, Message(role="assistant", content=answer))).ids
        assert mark.score == pytest.approx(score(model, [ids])[0], abs=3e-2)
    (long,) = grade([sample("hotline " * 600)])
    assert "the model takes 512" in long.fault


def test_a_reward_model_that_is_none(base: Path, folders: Folders, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="there is no folder"):
        reward_model.grader({"model": str(tmp_path / "absent")}, folders)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"task_type": "CAUSAL_LM"}')
    with pytest.raises(BadConfig, match="nothing says of which base"):
        reward_model.grader({"model": str(adapter)}, folders)
    with pytest.raises(BadConfig, match="speaks, not one that scores"):
        reward_model.grader({"model": str(adapter), "base": str(base)}, folders)


@pytest.mark.parametrize("text", ["7", " 7.0\n", "I think 3, no: 7", '{"result": 7}', "Score: 7/10 -> 7"])
def test_the_last_number_counts(text: str) -> None:
    assert score_model.said(text, (0, 10)) == Grade(7.0)


def test_ours_are_graders(folders: Folders) -> None:
    """What an installed package's graders are held to."""
    from luthier.testing import check_grader

    for spec in (
        {"type": "string_check", "operation": "eq", "reference": "Hello."},
        {"type": "text_similarity", "evaluation_metric": "fuzzy_match"},
    ):
        check_grader(load(spec, folders))
