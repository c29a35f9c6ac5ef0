"""Small records for the store's tests: a dataset, and what comes of it."""

from __future__ import annotations

import os

from luthier.records.base import Parent, happening_id
from luthier.records.data import DatasetVersion, Message
from luthier.records.evaluation import EvalReport, GatePolicy, Limit, Measure, Suite, Verdict
from luthier.records.serving import Trace
from luthier.records.training import ModelVersion, Recipe, Run
from luthier.store.workspace import Workspace

FIGURE = Measure(mean=0.5, low=0.4, high=0.6, n=10)


def dataset(workspace: Workspace, name: str = "rows", made_from: tuple[Parent, ...] = ()) -> DatasetVersion:
    rows = workspace.blobs.put_lines([{"row": name, "text": f"Öffnungszeiten von {name}"}])
    return DatasetVersion(name=name, rows=rows, sources=(), counts={"train": 1}, made_from=made_from)


def new_id(kind: str, moment: int = 1_700_000_000_000) -> str:
    return happening_id(kind, moment, os.urandom(10))


def ring(workspace: Workspace, name: str = "a") -> dict[str, str]:
    """A dataset, recipe, run, model, suite, report, gate and verdict in the ledger, by kind."""
    put = workspace.ledger.put
    ids = {"dataset": put(dataset(workspace, name)), "recipe": put(Recipe(base=f"base-{name}"))}
    run = Run(id=new_id("run"), recipe=ids["recipe"], dataset=ids["dataset"], base_digest="0" * 64)
    ids["run"] = put(run, by="ann")
    adapter = workspace.blobs.put(f"weights of {name}".encode() * 50)
    model = ModelVersion(
        name=name,
        base="tiny",
        base_digest="0" * 64,
        template_digest="1" * 64,
        tokenizer_digest="2" * 64,
        files={"adapter_model.safetensors": adapter},
        run=ids["run"],
        dataset=ids["dataset"],
    )
    ids["model"] = put(model)
    questions = workspace.blobs.put_lines([{"id": "q1", "question": "Wann?"}])
    ids["suite"] = put(Suite(name=name, questions=questions, count=1, scorers=("exact",)))
    samples = workspace.blobs.put_lines([{"question": "q1", "answer": "um 9"}])
    report = EvalReport(suite=ids["suite"], model=ids["model"], measures={"exact": FIGURE}, samples=samples)
    ids["report"] = put(report)
    ids["gate"] = put(GatePolicy(name=name, limits=(Limit(measure="exact", at_least=0.3),)))
    ids["verdict"] = put(Verdict(report=ids["report"], gate=ids["gate"], outcome="pass", results=()))
    return ids


def trace(moment: int = 1_700_000_000_000, **fields: object) -> Trace:
    told = {"alias": "support", "model": "model-x", "at": "2026-01-01T00:00:00Z", "answer": "Um 9."}
    asked = (Message(role="user", content="Wann öffnet ihr?"),)
    return Trace(id=new_id("chatcmpl", moment), messages=asked, **(told | fields))  # type: ignore[arg-type]
