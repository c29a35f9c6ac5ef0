"""Base against tuned model on held-out questions: asked over HTTP as they are served, marked, paired, judged.

Knows no data set: an example brings its questions, its prompts and marks of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from luthier import __version__
from luthier.evaluation import gate, run
from luthier.evaluation.scorers import Answered
from luthier.evaluation.statistics import difference_of, mean_of
from luthier.evaluation.suite import questions_of
from luthier.lm.client import Client
from luthier.lm.pull import local
from luthier.progress import Progress
from luthier.records.data import Message
from luthier.records.evaluation import EvalReport, GatePolicy, Limit, Measure, Question, Suite, Verdict
from luthier.records.training import ModelVersion
from luthier.store.workspace import Workspace
from luthier.workflows import servers

Mark = Callable[[Question, str], float]
"""(question, answer) → a share of 1: a scorer of the example's own."""

BASE, TUNED = "base", "tuned"
"""What the engine calls the two."""
WORKERS = 16
"""Questions asked at once: the engine answers as many in one batch."""


class Contest(NamedTuple):
    """What base and tuned model are held against each other on."""

    suite: Suite
    tuned: ModelVersion
    before: Mapping[str, Sequence[Message]]
    """What goes before each question: for BASE instructions and worked examples, for TUNED what it was taught with."""
    marks: Mapping[str, Mark]
    limits: tuple[Limit, ...]


class Compared(NamedTuple):
    """What came of it."""

    base: EvalReport
    tuned: EvalReport
    verdict: Verdict


def compare(workspace: Workspace, contest: Contest, progress: Progress) -> Compared:
    """Ask base and tuned model over HTTP, as they are served, mark both, and hold the tuned one against the limits."""
    ledger, tuned = workspace.ledger, contest.tuned
    kept = {"base_digest", "template_digest", "tokenizer_digest"}
    base = ModelVersion(name=tuned.base, base=tuned.base, files={}, **tuned.model_dump(include=kept))
    for record in (contest.suite, base):
        ledger.put(record)
    with served(workspace, tuned) as url:
        before = measured(workspace, contest, url, base, None, progress)
        after = measured(workspace, contest, url, tuned, before, progress)
    policy = GatePolicy(name=contest.suite.name, limits=contest.limits)
    verdict = gate.judge(after, policy)
    for made in (policy, verdict):
        ledger.put(made)
    return Compared(before, after, verdict)


@contextmanager
def served(workspace: Workspace, tuned: ModelVersion) -> Iterator[str]:
    """URL of an engine that serves the base as BASE and `tuned` as TUNED."""
    folder = workspace.folder / "adapters" / tuned.id
    for name, digest in tuned.files.items():
        workspace.blobs.fetch(digest, folder / name)
    port = servers.free_port()
    arguments = ["--base", str(local(tuned.base)), "--name", BASE, "--adapter", f"{TUNED}={folder}"]
    arguments += ["--host", "127.0.0.1", "--port", str(port), "--max-running", str(WORKERS)]
    with servers.serving("luthier.engine", arguments, port, workspace.folder / "logs" / "engine.log") as server:
        yield server.url


def measured(
    workspace: Workspace, contest: Contest, url: str, model: ModelVersion, base: EvalReport | None, progress: Progress
) -> EvalReport:
    """The report on `model`, with the example's own marks beside the suite's, kept in the ledger."""
    name = TUNED if model.run else BASE
    with Client(url, timeout=600) as client:
        target = asking(client, name, contest.before[name], contest.suite.max_tokens)
        blobs = workspace.blobs
        report = run.run(
            contest.suite, target, model.id, blobs, baseline=base, workers=WORKERS, progress=progress
        )  # fmt: skip
    report = marked(report, contest, workspace, base)
    workspace.ledger.put(report)
    return report


def asking(client: Client, model: str, before: Sequence[Message], max_tokens: int) -> run.Target:
    """Question → answer, straight from the engine."""

    def ask(question: Question) -> Answered:
        messages = [message.body() for message in (*before, Message(role="user", content=question.question))]
        reply = client.chat(messages, model, max_tokens=max_tokens)
        return Answered(reply.text, tokens=reply.completion_tokens)

    return ask


def marked(report: EvalReport, contest: Contest, workspace: Workspace, base: EvalReport | None) -> EvalReport:
    """`report` with the contest's own marks on every answer, and paired with those of `base`."""
    blobs = workspace.blobs
    questions = {question.id: question for question in questions_of(contest.suite, blobs)}
    lines = list(blobs.lines(report.samples))
    for line in lines:
        question = questions[line["question"]]
        line["scores"] |= {name: mark(question, line["answer"]) for name, mark in contest.marks.items()}
    update: dict[str, Any] = {"samples": blobs.put_lines(lines), "measures": dict(report.measures)}
    update |= {"differences": dict(report.differences), "made_with": dict(report.made_with)}
    before = [line["scores"] for line in blobs.lines(base.samples)] if base else []
    for name in contest.marks:
        scores = [line["scores"][name] for line in lines]
        update["measures"][name] = mean_of(scores)
        update["made_with"][name] = f"luthier-examples {__version__}"
        if base:
            update["differences"][name] = difference_of(scores, [score[name] for score in before])
    return report.model_copy(update=update)


def figures(compared: Compared) -> dict[str, Any]:
    """What was measured, for machines: the means first, intervals and paired differences in keys of their own."""

    def means(report: EvalReport) -> dict[str, float]:
        return {name: measure.mean for name, measure in report.measures.items()}

    def ends(measures: Mapping[str, Measure]) -> dict[str, Sequence[float]]:
        return {name: (measure.low, measure.high) for name, measure in measures.items()}

    base, tuned, verdict = compared
    return {
        "base": means(base),
        "tuned": means(tuned),
        "intervals": {"base": ends(base.measures), "tuned": ends(tuned.measures)},
        "differences": {name: measure.model_dump() for name, measure in tuned.differences.items()},
        "held_out": max(measure.n for measure in tuned.measures.values()),
        "verdict": verdict.outcome,
        "reasons": [result.reason for result in verdict.results],
    }
