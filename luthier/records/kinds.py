"""Every kind of record that the ledger keeps, by the word that its ids begin with."""

from __future__ import annotations

from luthier.records.base import Record
from luthier.records.data import DatasetVersion
from luthier.records.evaluation import EvalReport, GatePolicy, Suite, Verdict
from luthier.records.feedback import ReviewItem
from luthier.records.knowledge import IndexVersion
from luthier.records.labels import LabelSchema, LabelSet
from luthier.records.serving import Deployment, ServingPolicy
from luthier.records.training import ModelVersion, Recipe, Run

KEPT: tuple[type[Record], ...] = (
    DatasetVersion,
    Recipe,
    Run,
    ModelVersion,
    IndexVersion,
    Suite,
    EvalReport,
    GatePolicy,
    Verdict,
    ServingPolicy,
    Deployment,
    ReviewItem,
    LabelSchema,
    LabelSet,
)
BY_KIND: dict[str, type[Record]] = {record.kind: record for record in KEPT}
