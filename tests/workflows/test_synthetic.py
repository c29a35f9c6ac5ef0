"""Synthetic rows of a project, written by a real HTTP server that follows a script, and by the real engine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.cli.synthesize_command import synthesize as command
from luthier.data.raw import Raw
from luthier.data.recognise import read as read_any
from luthier.data.split import split_of
from luthier.errors import BadConfig, Forbidden, LuthierError, Missing, RunFailed, Unavailable, UnknownName
from luthier.lm.client import Client
from luthier.lm.pull import home
from luthier.workflows import writers
from luthier.workflows.synthetic import examples, existing, public_passages, synthesize
from luthier.workflows.writers import Wanted, asking
from tests.lm.test_client import Server
from tests.workflows.making import FEES, a_dataset, a_row

CHAT = "/v1/chat/completions"
RULES = """\
name: desk
rules:
  - {id: person, side: input, action: escalate, patterns: ['human|colleague'], like: [Let me speak to a human],
     unlike: ["What does a second card cost?"]}
messages:
  escalate: {en: I am passing you on to a colleague.}
  abstain: {en: I could not find this in our documents.}
"""


def said(text):
    return 200, {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}


def about(asked) -> str:
    return asked["messages"][-1]["content"].partition(": ")[2]


def scripted(asked):
    """Good, wrong and useless answers, by the seed alone."""
    question = (
        "When does the new card arrive?"
        if about(asked).startswith("It arr")
        else "What is the price of a Lark card per year?"
    )
    return said((f"Question: {question}", f"Question: {question}\nAnswer: 13 EUR.", "no")[asked["seed"] % 3])


@pytest.fixture
def server():
    with Server() as running:
        running.answers[CHAT] = scripted
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """No long waits, and no model that may or may not be pulled."""

    def absent(session):
        raise Missing("no model", "pull one")

    monkeypatch.setattr(writers, "WAITS", (0.01, 0.01))
    monkeypatch.setattr(writers.data, "embedder", absent)


def wanted(server, kind="questions", rows=2, **more):
    return Wanted(kind, rows, endpoint=server.url, model="tiny", **more)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_questions_name_their_gold_passage_and_no_secret(session, server, tmp_path):
    to, seen = tmp_path / "s.jsonl", set()

    def at_first_wrong(asked):
        again = about(asked) in seen
        seen.add(about(asked))
        return scripted(asked | {"seed": 0 if again else 1})

    server.answers[CHAT] = at_first_wrong
    report = synthesize(session, wanted(server, key="geheim-123"), to, tmp_path / "r.jsonl")
    assert (report.kept, report.refused) == (2, {"the passage does not carry the answer": 2})
    assert server.asked[-1][2] == "Bearer geheim-123"
    first, second = lines(to)
    start = FEES.index("A second Lark")
    for row in (first, second):
        assert row["metadata"]["passage"] == f"fees#char={start},{len(FEES) - 1}"
        assert row["metadata"]["documents"] == "fees"
        assert FEES[start : len(FEES) - 1].count(row["messages"][1]["content"]) == 1
    assert all(secret not in to.read_text() for secret in ("geheim", "127.0.0.1", str(server.server_port)))
    assert [line["detail"] for line in lines(tmp_path / "r.jsonl")] == ["13 EUR."] * 2
    assert all(isinstance(row, Raw) for row in read_any(to, {}))


def test_the_evaluation_is_not_given_away(session, server, tmp_path):
    server.answers[CHAT] = lambda asked: said("What does a second card cost?")
    report = synthesize(session, wanted(server, most_asked=4), tmp_path / "s.jsonl")
    assert (report.kept, report.asked) == (0, 4)
    assert report.refused["gives the evaluation away"] >= 1
    assert not (tmp_path / "s.jsonl").exists()


def test_staff_documents_are_left_out(session):
    secret = "---\ntitle: Goodwill\naudience: staff\n---\nWe may refund up to 50 EUR without asking anybody.\n"
    (session.root / "documents" / "internal.md").write_text(secret)
    assert {passage.document for passage in public_passages(session)} == {"fees"}


def test_paraphrases_follow_their_origin(session, server, tmp_path):
    with pytest.raises(Missing, match="no dataset"):
        synthesize(session, wanted(server, "paraphrases"), tmp_path / "p.jsonl")
    question = "What do I pay each year for a second card?"
    rows = [
        a_row(
            question,
            "It is 9 EUR.",
            consent="terms until 2030-01-31",
            metadata={"dialogue": "d-1", "documents": "fees"},
        ),
        a_row("Is a held-out question ever rewritten by anybody?", "Never.", split="validation"),
        a_row("Was this one written by a model?", "Yes.", metadata={"synthetic": "true"}),
        a_row("Is this answer any good at all?", "No.", good=False),
    ]
    a_dataset(session, "dialogues", rows)
    assert [example.question for example in examples(existing(session))] == [question]
    server.answers[CHAT] = lambda _: said("Other words: How much is a second card going to cost me each year?")
    report = synthesize(session, wanted(server, "paraphrases", most_asked=3), tmp_path / "p.jsonl")
    assert (report.kept, report.refused) == (1, {"nearly said before": 2})
    (row,) = lines(tmp_path / "p.jsonl")
    told = row["metadata"]
    assert (told["from"], told["dialogue"], told["licence"]) == (rows[0].id, "d-1", "CC0-1.0")
    assert told["consent"] == "synthetic until 2030-01-31"
    (read,) = read_any(tmp_path / "p.jsonl", {})
    assert split_of(read.metadata["dialogue"], 0.4, 0.1) == split_of("d-1", 0.4, 0.1)


def test_edges_are_decided_by_the_policy(session, server, tmp_path):
    (session.root / "policy.yaml").write_text(RULES)
    server.answers[CHAT] = lambda asked: said(
        "Message: I would rather have a colleague on the line."
        if "that fall under" in asked["messages"][-1]["content"]
        else "Message: Which football club does your bank support this season?"
    )
    report = synthesize(session, wanted(server, "edges"), tmp_path / "e.jsonl")
    rows = {row["metadata"]["clause"]: row for row in lines(tmp_path / "e.jsonl")}
    assert report.kept == 2
    assert rows["person/inside"]["messages"][1]["content"] == "I am passing you on to a colleague."
    assert rows["person/outside"]["messages"][1]["content"] == "I could not find this in our documents."


def test_pairs_and_dialogues_do_not_share_a_file(session, server, tmp_path):
    answer = "A second Lark card costs 9 EUR per year."
    a_dataset(
        session, "dialogues", [a_row("What is the price of a second card?", answer, metadata={"documents": "fees"})]
    )
    server.answers[CHAT] = lambda asked: said(answer if asked["seed"] % 2 else "It costs nothing at all.")
    to = tmp_path / "p.jsonl"
    assert synthesize(session, wanted(server, "preferences", rows=1), to).kept == 1
    (row,) = lines(to)
    assert (row["chosen"], row["rejected"]) == (answer, "It costs nothing at all.")
    with pytest.raises(BadConfig, match="line 1"):
        synthesize(session, wanted(server), to)
    with pytest.raises(BadConfig, match="two files"):
        synthesize(session, wanted(server), to, to)
    with pytest.raises(BadConfig, match="line 1"):
        synthesize(session, wanted(server), session.root / "dialogues.jsonl")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((401, {"error": "no"}), Forbidden),
        ((404, {"error": "no such model"}), UnknownName),
        ((503, {"error": "later"}), Unavailable),
        ((500, b"oops"), RunFailed),
        ((200, b"<html>"), RunFailed),
    ],
)
def test_an_endpoint_that_never_answers_ends_the_run(session, server, tmp_path, answer, error):
    server.answers[CHAT] = answer
    with pytest.raises(error):
        synthesize(session, wanted(server), tmp_path / "s.jsonl")


def test_what_was_put_off_is_asked_again(session, server, tmp_path):
    seen: set[int] = set()

    def busy(asked):
        again = asked["seed"] in seen
        seen.add(asked["seed"])
        return scripted(asked) if again else (429, {"error": "slowly"})

    server.answers[CHAT] = busy
    assert synthesize(session, wanted(server), tmp_path / "s.jsonl").kept == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["choices", "message", "content"]), inner)
    ),
    max_leaves=8,
)
BYTES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    JSON.map(lambda value: json.dumps({"choices": [{"message": {"content": value}}], "usage": value}).encode()),
    st.just(b"[" * 100_000),
    st.just(b'{"choices": [{"message": {"content": "\\ud800 what?"}}], "usage": {"prompt_tokens": "many"}}'),
    st.just(b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1e999}}'),
)


@given(data=BYTES, status=st.sampled_from([200, 200, 200, 400, 500]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_words_or_an_error_of_ours(server, data, status):
    server.answers[CHAT] = (status, data)
    try:
        text = asking(Client(server.url), "tiny")(
            ({"role": "user", "content": "?"},), seed=1, temperature=0.0, max_tokens=3
        )
    except LuthierError:
        return
    assert isinstance(text, str)


ARGUMENTS = ("questions", "--count", "2", "--model", "tiny", "--json")
MAIN = "from luthier.cli.synthesize_command import synthesize; synthesize()"


def test_killed_in_the_middle_it_ends_with_the_same_bytes(session, server, tmp_path):
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    arguments = [*ARGUMENTS, "--endpoint", server.url, "--project", str(session.root)]
    assert synthesize(session, wanted(server), whole).kept == 2
    session.close()

    first = lines(whole)[0]["messages"][0]["content"]

    def slow(asked):
        answer = scripted(asked)
        time.sleep(0 if first in json.dumps(answer) else 30)
        return answer

    server.answers[CHAT] = slow
    child = subprocess.Popen([sys.executable, "-c", MAIN, *arguments, "--to", str(parts)], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (parts.exists() and parts.stat().st_size) and time.monotonic() < until:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert 0 < len(parts.read_bytes()) < len(whole.read_bytes())
    with parts.open("ab") as file:
        file.write(b'{"messages": [{"ro')  # the line that was being written
    server.answers[CHAT] = scripted
    found = CliRunner().invoke(command, [*arguments, "--to", str(parts)])
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert (told["there"], told["kept"]) == (1, 1)
    assert parts.read_bytes() == whole.read_bytes()


def test_the_command(session, server, tmp_path, monkeypatch):
    arguments = ["questions", "--count", "2", "--to", str(tmp_path / "s.jsonl"), "--project", str(session.root)]
    session.close()
    found = CliRunner().invoke(command, [*arguments, "--endpoint", server.url, "--model", "tiny"])
    assert found.exit_code == 0, found.output
    assert "kept       2 questions, from 1 places" in found.output
    assert "refused" in found.output
    for more in (["--endpoint", server.url], ["--model", "other"], ["--key-env", "NOT_THERE_AT_ALL"]):
        with pytest.raises(BadConfig):
            CliRunner().invoke(command, [*arguments, *more], catch_exceptions=False)


@pytest.mark.models
@pytest.mark.skipif(
    not all((home() / name).is_dir() for name in ("smollm2-135m-instruct", "all-minilm-l6-v2")),
    reason="smollm2-135m-instruct and all-minilm-l6-v2 are not pulled",
)
def test_the_engine_writes_too(session, tmp_path):
    """A small model yields little: what counts is that everything it writes is kept or refused with a reason."""
    to, rejected = tmp_path / "s.jsonl", tmp_path / "r.jsonl"
    report = synthesize(session, Wanted("questions", 3, most_asked=4), to, rejected)
    assert report.asked == report.kept + sum(report.refused.values())
    assert report.asked == 4 or report.kept == 3
    assert "the endpoint gave no answer" not in report.refused
    for row in lines(to) if to.exists() else []:
        assert row["metadata"]["generator"] == "smollm2-135m-instruct (engine)"
