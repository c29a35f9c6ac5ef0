"""A record in a few words, for lineage and reports."""

from __future__ import annotations

from luthier.records.base import Record
from luthier.records.data import DatasetVersion
from luthier.records.evaluation import EvalReport, GatePolicy, Suite, Verdict
from luthier.records.feedback import ReviewItem
from luthier.records.knowledge import IndexVersion
from luthier.records.labels import LabelSchema, LabelSet
from luthier.records.serving import Deployment, ServingPolicy
from luthier.records.training import ModelVersion, Recipe, Run


def in_words(record: Record) -> str:  # noqa: C901, PLR0911, PLR0912 - one line a kind is the point
    """What a record is about, on one line."""
    match record:
        case DatasetVersion():
            rows = ", ".join(f"{count} {split}" for split, count in record.counts.items())
            sources = ", ".join(f"{s.name} ({s.licence}, {s.consent})" for s in record.sources)
            return f"{record.name}: {rows}; from {sources}"
        case IndexVersion():
            return f"{len(record.documents)} documents, {record.chunks} passages, {record.embedder}"
        case LabelSchema():
            return f"{record.name}: {', '.join(question.name for question in record.questions)}"
        case LabelSet():
            return f"{record.count} labels by {', '.join(record.annotators) or 'models'}"
        case Recipe():
            how = f"LoRA rank {record.lora.rank}" if record.lora else "every weight"
            return f"{record.method} of {record.base}, {how}, rate {record.learning_rate}, seed {record.seed}"
        case Run():
            return (
                f"on {record.machine.get('processor', 'an unknown machine')}, torch {record.machine.get('torch', '?')}"
            )
        case ModelVersion():
            made = f", rank {record.rank}" if record.rank else ""
            return f"{record.name} on {record.base}{made}"
        case Suite():
            return f"{record.name}: {record.count} questions, marked by {', '.join(record.scorers)}"
        case EvalReport():
            return ", ".join(f"{name} {m.mean:.2f}" for name, m in record.measures.items() if "@" not in name)
        case Verdict():
            return record.outcome
        case GatePolicy():
            return f"{record.name}: {len(record.limits)} limits"
        case ServingPolicy():
            return f"{record.name}: {len(record.rules)} rules, citations {record.citations}"
        case Deployment():
            return f"as {record.alias}, by {record.by}"
        case ReviewItem():
            return f"{record.reason} by {record.by}"
        case _:
            return record.kind
