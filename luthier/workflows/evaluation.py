"""A served model → report, beside the base; report + gate → verdict.

Asked over HTTP, through engine and gateway: what is measured is what is served.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import httpx

from luthier.errors import Missing, Unavailable
from luthier.evaluation import gate, run
from luthier.evaluation.scorers import Answered
from luthier.evaluation.suite import make_suite, read_questions
from luthier.lm.catalogue import licence_of
from luthier.lm.client import Client
from luthier.lm.pull import folder_digest, local
from luthier.records.base import sha256
from luthier.records.evaluation import EvalReport, GatePolicy, Question, Suite, Verdict
from luthier.records.serving import Trace
from luthier.records.training import ModelVersion
from luthier.store import keys
from luthier.workflows import servers
from luthier.workflows.session import Session

WORKERS = 8
"""Questions asked at once: the engine answers them in one batch."""


def suite(session: Session) -> Suite:
    """The project's suite, kept in the ledger."""
    part = session.project.evaluation
    questions = [question for file in part.questions for question in read_questions(session.root / file)]
    drawn = sorted(questions, key=lambda question: sha256(question.id.encode()))[: part.most]
    made = make_suite(part.name, drawn, part.scorers, part.max_tokens, session.workspace.blobs)
    session.workspace.ledger.put(made, session.by)
    return made


def base_model(session: Session) -> ModelVersion:
    """The untouched base as a model version, so that it can be measured, compared and deployed like any other."""
    folder = local(session.project.base)
    from luthier.lm.chat import Chat  # loads transformers: only where a base is measured

    chat = Chat.load(folder)
    model = ModelVersion(
        name=session.project.base,
        base=session.project.base,
        base_digest=folder_digest(folder),
        base_licence=licence_of(session.project.base),
        template_digest=chat.template_digest,
        tokenizer_digest=chat.tokenizer_digest,
        files={},
    )
    session.workspace.ledger.put(model, session.by)
    return model


def measure(
    session: Session, asked: Suite, model: ModelVersion, url: str, key: str, baseline: EvalReport | None = None
) -> EvalReport:
    """Ask `model`, served at `url`, every question of the suite. `key` needs the right to evaluate."""
    target = over_http(url, key, model.id, asked.max_tokens)
    report = run.run(
        asked,
        target,
        model.id,
        session.workspace.blobs,
        baseline=baseline,
        workers=WORKERS,
        progress=session.progress,
    )
    session.workspace.ledger.put(report, session.by)
    return report


def over_http(url: str, key: str, model: str, max_tokens: int) -> run.Target:
    """Question → answer through the gateway, with the ending and the citations of its trace."""
    client = Client(url, key)
    traces = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False)

    def ask(question: Question) -> Answered:
        began = time.perf_counter()
        messages = [{"role": "system", "content": question.system}] if question.system else []
        messages.append({"role": "user", "content": question.question})
        reply = client.chat(messages, model, max_tokens=max_tokens)
        try:
            kept = traces.get(f"/luthier/v1/traces/{reply.id}").raise_for_status()
        except httpx.HTTPError as error:
            raise Unavailable(f"the trace of {reply.id} cannot be read ({error})", "see the log of the API") from error
        trace = Trace.model_validate(kept.json())
        return Answered(
            text=reply.text,
            ending=trace.ending,
            citations=trace.citations,
            milliseconds=(time.perf_counter() - began) * 1e3,
            tokens=trace.completion_tokens,
            trace=trace.id,
            draft=trace.draft,
        )

    return ask


def judge(session: Session, report: EvalReport) -> Verdict:
    """Hold `report` against the project's gate."""
    part = session.project.gate
    policy = GatePolicy(name=part.name, limits=part.limits)
    session.workspace.ledger.put(policy, session.by)
    verdict = gate.judge(report, policy)
    session.workspace.ledger.put(verdict, session.by)
    return verdict


class Compared(NamedTuple):
    """Base and tuned model on the same suite, and what the gate makes of it."""

    base: EvalReport
    tuned: EvalReport
    verdict: Verdict


def compare(session: Session, model: str | None = None) -> Compared:
    """Measure `model` (default: the newest tuned one) and the base through engine and gateway, and judge.

    A base that was measured on this suite before is not measured again.
    """
    ledger = session.workspace.ledger
    tuned = ledger.get(model, ModelVersion) if model else newest_tuned(session)
    asked, base = suite(session), base_model(session)
    key = keys.issue(ledger, "evaluation", ("engineer",), "public", session.by)
    try:
        with servers.engine(session) as engine, servers.gateway(session, engine.url) as gateway:
            baseline = measured_before(session, asked, base) or measure(session, asked, base, gateway.url, key)
            report = measure(session, asked, tuned, gateway.url, key, baseline)
    finally:
        keys.revoke(ledger, "evaluation", session.by)
    return Compared(baseline, report, judge(session, report))


def newest_tuned(session: Session) -> ModelVersion:
    """The newest model that a run left. Raises Missing where none was trained."""
    for model in session.workspace.ledger.ls("model"):
        if isinstance(model, ModelVersion) and model.run:
            return model
    raise Missing("no model was trained yet", "train one first: luthier train")


def measured_before(session: Session, asked: Suite, model: ModelVersion) -> EvalReport | None:
    """The newest report of `model` on this suite."""
    reports = (r for r in session.workspace.ledger.ls("report") if isinstance(r, EvalReport))
    return next((r for r in reports if r.suite == asked.id and r.model == model.id), None)
