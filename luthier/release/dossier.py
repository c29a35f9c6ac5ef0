"""Everything that the ledger holds about one model, gathered. Reads records and events; knows nothing of Markdown."""

from __future__ import annotations

from typing import NamedTuple

from luthier.records.data import DatasetVersion
from luthier.records.evaluation import EvalReport, GatePolicy, Suite, Verdict
from luthier.records.knowledge import IndexVersion
from luthier.records.serving import Deployment, ServingPolicy
from luthier.records.training import ModelVersion, Recipe, Run
from luthier.release.registry import ModelStatus, status
from luthier.store.blobs import Blobs
from luthier.store.ledger import Ledger


class Measured(NamedTuple):
    """A report on the model, with its suite and the report of what it was compared with."""

    report: EvalReport
    suite: Suite
    baseline: EvalReport | None


class Use(NamedTuple):
    """A deployment, with the policy and the documents that it answers by."""

    deployment: Deployment
    policy: ServingPolicy
    knowledge: IndexVersion


class Dossier(NamedTuple):
    """A model and what made it, measured it, judged it and uses it. What is not recorded is None or empty."""

    model: ModelVersion
    status: ModelStatus
    run: Run | None
    recipe: Recipe | None
    dataset: DatasetVersion | None
    verdict: Verdict | None
    gate: GatePolicy | None
    main: Measured | None
    """What the verdict is about, or the newest report where there is no verdict."""
    others: tuple[Measured, ...]
    """The newest report on each further suite, such as a collection of attacks."""
    uses: tuple[Use, ...]
    """Deployments, the newest first."""
    kept: frozenset[str]
    """Digests of the model's files and rows whose bytes are still there."""


def gather(ledger: Ledger, blobs: Blobs, model_id: str) -> Dossier:
    """The dossier of a model. Raises UnknownName where the ledger has none of that id."""
    model = ledger.get(model_id, ModelVersion)
    now = status(ledger, model.id)
    run = ledger.get(model.run, Run) if model.run else None
    dataset_id = model.dataset or (run.dataset if run else None)
    dataset = ledger.get(dataset_id, DatasetVersion) if dataset_id else None
    reports = [ledger.get(child, EvalReport) for child in children(ledger, model.id, "report")]
    verdict = verdict_on(ledger, now, reports)
    main = next((report for report in reports if verdict and report.id == verdict.report), next(iter(reports), None))
    newest: dict[str, EvalReport] = {}
    for report in reports:
        newest.setdefault(report.suite, report)
    digests = [*model.files.values(), *([dataset.rows] if dataset else [])]
    return Dossier(
        model=model,
        status=now,
        run=run,
        recipe=ledger.get(run.recipe, Recipe) if run else None,
        dataset=dataset,
        verdict=verdict,
        gate=ledger.get(verdict.gate, GatePolicy) if verdict else None,
        main=measured(ledger, main) if main else None,
        others=tuple(measured(ledger, report) for suite, report in newest.items() if main and suite != main.suite),
        uses=tuple(use(ledger, child) for child in children(ledger, model.id, "deployment")),
        kept=frozenset(digest for digest in digests if blobs.has(digest)),
    )


def children(ledger: Ledger, parent: str, kind: str) -> list[str]:
    """Ids of the records of `kind` that name `parent` as what they are about, the newest first."""
    found = {
        link.child
        for link in ledger.descendants(parent)
        if link.parent == parent and link.child.startswith(f"{kind}-") and link.role in ("model", "report")
    }
    return sorted(found, key=lambda child: ledger.events(child, "recorded", limit=1)[0].seq, reverse=True)


def verdict_on(ledger: Ledger, now: ModelStatus, reports: list[EvalReport]) -> Verdict | None:
    """The verdict that the model was proposed on, or else the newest on its newest report that has one."""
    if now.proposal:
        return ledger.get(now.proposal.verdict, Verdict)
    for report in reports:
        for child in children(ledger, report.id, "verdict"):
            return ledger.get(child, Verdict)
    return None


def measured(ledger: Ledger, report: EvalReport) -> Measured:
    """A report with its suite and its baseline."""
    baseline = ledger.get(report.baseline, EvalReport) if report.baseline else None
    return Measured(report, ledger.get(report.suite, Suite), baseline)


def use(ledger: Ledger, deployment_id: str) -> Use:
    """A deployment with its policy and its index."""
    deployment = ledger.get(deployment_id, Deployment)
    policy, index = ledger.get(deployment.policy, ServingPolicy), ledger.get(deployment.index, IndexVersion)
    return Use(deployment, policy, index)
