"""A small project on disk, and a ledger with everything in it that an answer stands on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from luthier.records.base import Parent, happening_id, sha256
from luthier.records.data import DatasetVersion, Message, Row, SourceUse
from luthier.records.evaluation import EvalReport, GatePolicy, Limit, LimitResult, Measure, Outcome, Suite, Verdict
from luthier.records.knowledge import Citation, DocumentVersion, IndexVersion, Passage
from luthier.records.serving import Deployment, ServingPolicy, Trace
from luthier.records.training import ModelVersion, Recipe, Run
from luthier.workflows.session import Session

FEES = (
    "---\ntitle: Fees\n---\n## Cards\n\nA second Lark card costs 9 EUR per year. It arrives within five working days.\n"
)
POLICY = """\
name: desk
rules:
  - {id: person, side: input, action: escalate, patterns: ['speak to a human']}
messages:
  refuse: {en: I cannot help with that.}
  escalate: {en: I am passing you on to a colleague.}
  abstain: {en: I could not find this in our documents.}
"""
SETTINGS: dict[str, Any] = {
    "name": "lark",
    "base": "smollm2-135m-instruct",
    "data": {
        "sources": [{"name": "desk", "path": "dialogues.jsonl", "licence": "CC0-1.0", "consent": "contract"}],
        "validation": 0.0,
    },
    "knowledge": {"documents": "documents", "passages": 2},
    "training": {"lora": {"rank": 4}, "unanswerable": 0.0},
    "evaluation": {"questions": ["questions.jsonl"]},
    "gate": {"limits": [{"measure": "facts", "better_by": 0}]},
    "serving": {"alias": "support", "policy": "policy.yaml", "instructions": "Answer from the passages."},
}


def chat(*turns: str, **more: Any) -> dict[str, Any]:
    """Turns of user and assistant, in turn."""
    roles = ("user", "assistant") * len(turns)
    return {"messages": [{"role": r, "content": t} for r, t in zip(roles, turns, strict=False)]} | more


def project(folder: Path, **parts: Any) -> Path:
    """Every file of a project in `folder`; `parts` replace parts of the settings. Returns the folder."""
    (folder / "documents").mkdir(parents=True, exist_ok=True)
    (folder / "documents" / "fees.md").write_text(FEES)
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "questions.jsonl").write_text(json.dumps({"id": "q", "question": "What does a second card cost?"}) + "\n")
    (folder / "dialogues.jsonl").write_text(json.dumps(chat("What does a second card cost?", "9 EUR.")) + "\n")
    (folder / "luthier.yaml").write_text(yaml.safe_dump(SETTINGS | parts, sort_keys=False))
    return folder


class World(NamedTuple):
    dialogues: DatasetVersion
    dataset: DatasetVersion
    index: IndexVersion
    run: Run
    base: ModelVersion
    model: ModelVersion
    base_report: EvalReport
    report: EvalReport
    verdict: Verdict
    policy: ServingPolicy
    deployment: Deployment
    trace: Trace


DIGESTS = {"base_digest": "b" * 64, "template_digest": "c" * 64, "tokenizer_digest": "d" * 64}
WORKED = "A second card costs 9 EUR [1]."


def moment(kind: str, at: int = 1_700_000_000_000) -> str:
    return happening_id(kind, at, sha256(f"{kind}{at}".encode()).encode())


def a_row(question: str, answer: str, line: int = 1, **more: Any) -> Row:
    messages = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Row(
        **({"id": sha256(question.encode())[:16], "split": "train", "source": "desk", "line": line} | more),
        messages=messages,
    )


def a_dataset(session: Session, name: str, rows: list[Row], **more: Any) -> DatasetVersion:
    kept = session.workspace.blobs.put_lines(row.body() for row in rows)
    use = SourceUse(name="desk", digest="1" * 64, licence="CC0-1.0", consent="contract", rows=len(rows))
    made = DatasetVersion(
        name=name, rows=kept, sources=(use,), counts={"train": len(rows)}, languages={"en": len(rows)}, **more
    )
    session.workspace.ledger.put(made)
    return made


def passage_of(text: str = FEES, name: str = "fees", **more: Any) -> Passage:
    """The last paragraph of a document, as a passage."""
    start = text.rindex("\n\n") + 2
    found = text[start:].rstrip("\n")
    fields = {"document": name, "title": name.title(), "digest": sha256(text.encode()), "start": start}
    return Passage(**(fields | {"end": start + len(found), "text": found, "heading": "Cards"} | more))


def world(session: Session, outcome: Outcome = "pass") -> World:
    """Everything from the dialogues to an answer, put into the session's ledger."""
    ledger, blobs = session.workspace.ledger, session.workspace.blobs
    row = a_row("What does a second card cost?", "9 EUR.", metadata={"documents": "fees"})
    dialogues = a_dataset(session, "dialogues", [row], personal={"PERSON": 1})
    document = DocumentVersion(name="fees", title="Fees", digest=blobs.put(FEES.encode()))
    index = IndexVersion(
        name="documents", documents=(document,), embedder="all-minilm-l6-v2", chunks=1, folder="indexes/a"
    )
    ledger.put(index)
    grounded = (Parent("scrubbed dialogues", dialogues.id), Parent("passages", index.id))
    dataset = a_dataset(session, "dialogues-grounded", [row], made_from=grounded)
    recipe = Recipe(name="lark", base="tiny", learning_rate=1e-3, batch_rows=2)
    ledger.put(recipe)
    run = Run(
        id=moment("run"), recipe=recipe.id, dataset=dataset.id, base_digest="b" * 64, machine={"processor": "a & b"}
    )
    ledger.put(run)
    base = ModelVersion(name="tiny", base="tiny", files={}, **DIGESTS)
    files = {"adapter_model.safetensors": blobs.put(b"weights"), "adapter_config.json": blobs.put(b"{}")}
    figures = {"steps": 2.0, "tokens": 64.0, "validation_loss": 0.5}
    model = ModelVersion(
        name="lark", base="tiny", files=files, run=run.id, dataset=dataset.id, rank=4, figures=figures, **DIGESTS
    )
    metrics = blobs.put_lines([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.5}])
    ledger.put(base)
    ledger.put(model)
    ledger.tell(run.id, "finished", {"model": model.id, "metrics": metrics, "seconds": 1.5})
    base_report, report, verdict = judged(session, base, model, outcome)
    policy = ServingPolicy(name="desk", messages={"abstain": {"en": "I could not find this in our documents."}})
    ledger.put(policy)
    deployment = Deployment(
        id=moment("deployment"), alias="support", model=model.id, policy=policy.id, index=index.id, verdict=verdict.id
    )
    ledger.put(deployment)
    trace = a_trace(deployment)
    session.workspace.traces.put(trace)
    return World(
        dialogues, dataset, index, run, base, model, base_report, report, verdict, policy, deployment, trace
    )  # fmt: skip


def judged(
    session: Session, base: ModelVersion, model: ModelVersion, outcome: Outcome
) -> tuple[EvalReport, EvalReport, Verdict]:
    ledger, blobs = session.workspace.ledger, session.workspace.blobs
    suite = Suite(name="lark", questions=blobs.put(b"{}\n"), count=20, scorers=("facts",))
    half = Measure(mean=0.5, low=0.4, high=0.6, n=20)
    base_report = EvalReport(suite=suite.id, model=base.id, measures={"facts": half}, samples=blobs.put(b"[]\n"))
    most = half.model_copy(update={"mean": 0.9, "low": 0.8, "high": 1.0})
    more = half.model_copy(update={"mean": 0.4, "low": 0.2, "high": 0.6})
    report = EvalReport(
        suite=suite.id,
        model=model.id,
        measures={"facts": most},
        samples=base_report.samples,
        baseline=base_report.id,
        differences={"facts": more},
    )
    gate = GatePolicy(name="gate", limits=(Limit(measure="facts", better_by=0),))
    result = LimitResult(measure="facts", outcome=outcome, reason="20.0 <= 40.0 & clear")
    verdict = Verdict(report=report.id, gate=gate.id, outcome=outcome, results=(result,))
    for record in (suite, base_report, report, gate, verdict):
        ledger.put(record)
    return base_report, report, verdict


def a_trace(deployment: Deployment, at: int = 1_700_000_000_000, **more: Any) -> Trace:
    passage = passage_of()
    quote = "A second Lark card costs 9 EUR per year."
    cited = Citation(
        marker=1,
        claim="A second card costs 9 EUR.",
        document="fees",
        title="Fees",
        digest=passage.digest,
        start=passage.start,
        end=passage.start + len(quote),
        quote=quote,
        verified=True,
    )
    fields: dict[str, Any] = {
        "id": moment("chatcmpl", at),
        "at": "2026-01-31T12:00:00Z",
        "alias": deployment.alias,
        "model": deployment.model,
        "deployment": deployment.id,
        "policy": deployment.policy,
        "index": deployment.index,
        "caller": "anna",
        "messages": (Message(role="user", content="What does a second card <b>cost</b>?"),),
        "answer": WORKED,
        "passages": (passage,),
        "citations": (cited,),
    }
    return Trace(**(fields | more))
