"""A ledger with a model in it that was trained, measured and judged: what the tests of this room begin with."""

from __future__ import annotations

from typing import NamedTuple

from luthier.access import Principal
from luthier.records.data import DatasetVersion, SourceUse
from luthier.records.evaluation import (
    EvalReport,
    GatePolicy,
    Limit,
    LimitResult,
    Measure,
    Outcome,
    Suite,
    Verdict,
)
from luthier.records.knowledge import DocumentVersion, IndexVersion
from luthier.records.serving import Rule, ServingPolicy
from luthier.records.training import ModelVersion, Recipe, Run
from luthier.store.workspace import Workspace

ADA = Principal("ada", ("engineer",))
BOB = Principal("bob", ("approver",))


class World(NamedTuple):
    workspace: Workspace
    dataset: DatasetVersion
    base: ModelVersion
    model: ModelVersion
    policy: ServingPolicy
    knowledge: IndexVersion
    verdict: Verdict


def put(workspace: Workspace, *records: object) -> None:
    for record in records:
        workspace.ledger.put(record)  # type: ignore[arg-type]


def a_model(workspace: Workspace, name: str, run: Run | None = None, **fields: object) -> ModelVersion:
    digests = {"base_digest": "b" * 64, "template_digest": "c" * 64, "tokenizer_digest": "d" * 64}
    model = ModelVersion(name=name, base="smollm2-135m-instruct", run=run.id if run else None, **digests, **fields)  # type: ignore[arg-type]
    put(workspace, model)
    return model


def a_verdict(
    workspace: Workspace, model: ModelVersion, outcome: Outcome = "pass", baseline: EvalReport | None = None
) -> Verdict:
    suite = Suite(name="support", questions="5" * 64, count=75, scorers=("facts", "cited"))
    gate = GatePolicy(name="better-than-base", limits=(Limit(measure="facts", better_by=0),))
    report = EvalReport(
        suite=suite.id,
        model=model.id,
        samples="6" * 64,
        measures={
            "facts": Measure(mean=0.84, low=0.737, high=0.914, n=75),
            "cited": Measure(mean=0.5, low=0.38, high=0.62, n=75),
        },
        baseline=baseline.id if baseline else None,
        differences={"facts": Measure(mean=0.214, low=0.12, high=0.309, n=75)} if baseline else {},
        failed=1,
    )
    reason = "facts: +21.4 points over the base (95 % 12.0 to 30.9, n = 75): better than 0, as asked"
    limit = LimitResult(measure="facts", outcome=outcome, reason=reason)
    verdict = Verdict(report=report.id, gate=gate.id, outcome=outcome, results=(limit,))
    put(workspace, suite, gate, report, verdict)
    return verdict


def a_report(workspace: Workspace, model: ModelVersion, name: str, **measures: Measure) -> EvalReport:
    suite = Suite(name=name, questions="7" * 64, count=32, scorers=tuple(measures))
    report = EvalReport(suite=suite.id, model=model.id, measures=measures, samples="8" * 64)
    put(workspace, suite, report)
    return report


def a_world(workspace: Workspace) -> World:
    dataset = DatasetVersion(
        name="dialogues",
        rows=workspace.blobs.put(b"{}\n"),
        sources=(
            SourceUse(name="tickets-2025", digest="1" * 64, licence="proprietary", consent="contract", rows=900),
            SourceUse(name="faq|edited", digest="2" * 64, licence="CC-BY-4.0", consent="public", rows=300),
        ),
        counts={"train": 1140, "validation": 60},
        languages={"en": 1000, "de": 200},
        personal={"PERSON": 512, "IBAN": 40},
        duplicates=17,
        quarantined=3,
        builder="luthier 0.1.0; presidio-analyzer 2.2.366",
    )
    recipe = Recipe(name="support", base="smollm2-135m-instruct", learning_rate=2e-4, batch_rows=16)
    put(workspace, dataset, recipe)
    run = Run(
        id="run-01m4qj7v9s0123456789abcdef",
        recipe=recipe.id,
        dataset=dataset.id,
        base_digest="b" * 64,
        machine={"torch": "2.13.0", "threads": "2"},
        code="luthier 0.1.0",
    )
    put(workspace, run)
    base = a_model(workspace, "base", files={})
    model = a_model(
        workspace,
        "support-1",
        run,
        files={"adapter_model.safetensors": workspace.blobs.put(b"weights"), "adapter_config.json": "9" * 64},
        dataset=dataset.id,
        rank=16,
        figures={"loss": 0.4321, "steps": 142.0},
        base_licence="Apache-2.0",
    )
    policy = ServingPolicy(
        name="desk", languages=("en", "de"), rules=(Rule(id="advice", side="input", action="refuse", why="No advice."),)
    )
    documents = (
        DocumentVersion(name="cards", title="Cards", digest="3" * 64),
        DocumentVersion(name="codes", title="Codes", digest="4" * 64, audience="staff"),
    )
    knowledge = IndexVersion(name="documents", documents=documents, embedder="all-minilm-l6-v2", chunks=9, folder="i")
    put(workspace, policy, knowledge)
    before = a_report(workspace, base, "support", facts=Measure(mean=0.626, low=0.5, high=0.73, n=75))
    return World(workspace, dataset, base, model, policy, knowledge, a_verdict(workspace, model, baseline=before))
