"""One record of each kind, every required field given: what golden ids and round trips are taken from."""

from __future__ import annotations

from luthier.records.base import Parent, Record
from luthier.records.data import DatasetVersion, Message, SourceUse
from luthier.records.evaluation import EvalReport, GatePolicy, Limit, LimitResult, Measure, Suite, Verdict
from luthier.records.feedback import ReviewItem
from luthier.records.knowledge import Citation, DocumentVersion, IndexVersion, Passage
from luthier.records.labels import LabelQuestion, LabelSchema, LabelSet
from luthier.records.serving import Decision, Deployment, Rule, ServingPolicy, Trace
from luthier.records.training import ModelVersion, Recipe, Run

A, B, C = "a" * 64, "b" * 64, "c" * 64
MOMENT = "00jd1m8k5c0123456789abcdef"

DATASET = DatasetVersion(
    name="support",
    rows=A,
    sources=(SourceUse(name="desk", digest=B, licence="Apache-2.0", consent="contract", rows=2),),
    counts={"train": 2},
    quarantine=C,
    subjects=B,
    made_from=(Parent("review", f"review-{MOMENT}"),),
)
RECIPE = Recipe(base="smollm2-135m-instruct", learning_rate=5e-4, batch_rows=8)
RUN = Run(id=f"run-{MOMENT}", recipe=RECIPE.id, dataset=DATASET.id, base_digest=A, on_top_of=f"model-{C}")
MODEL = ModelVersion(
    name="support",
    base="smollm2-135m-instruct",
    base_digest=A,
    template_digest=B,
    tokenizer_digest=C,
    files={"adapter_model.safetensors": A, "adapter_config.json": B},
    run=RUN.id,
    dataset=DATASET.id,
    rank=16,
    figures={"loss": 0.5},
)
DOCUMENT = DocumentVersion(name="fees", title="Fees", digest=A, audience="staff", locale="de", updated="2026-01-31")
INDEX = IndexVersion(
    name="documents",
    documents=(DOCUMENT,),
    embedder="all-minilm-l6-v2",
    chunks=3,
    folder="indexes/1",
    previous=f"index-{B}",
)
SUITE = Suite(name="support", questions=A, count=60, scorers=("facts", "cited"))
MEASURE = Measure(mean=0.75, low=0.5, high=0.875, n=40)
REPORT = EvalReport(
    suite=SUITE.id,
    model=MODEL.id,
    measures={"facts": MEASURE},
    samples=B,
    baseline=f"report-{C}",
    differences={"facts": MEASURE},
)
GATE = GatePolicy(name="gate", limits=(Limit(measure="facts", better_by=0.0, why="worth the training"),))
VERDICT = Verdict(
    report=REPORT.id,
    gate=GATE.id,
    outcome="pass",
    results=(LimitResult(measure="facts", outcome="pass", reason="+0.5 clears 0"),),
)
POLICY = ServingPolicy(
    name="desk",
    languages=("en", "de"),
    rules=(Rule(id="advice", side="input", action="refuse", patterns=("which shares",)),),
    messages={"refuse": {"en": "I cannot help with that."}},
)
DEPLOYMENT = Deployment(
    id=f"deployment-{MOMENT}", alias="support", model=MODEL.id, policy=POLICY.id, index=INDEX.id, verdict=VERDICT.id
)
REVIEW = ReviewItem(id=f"review-{MOMENT}", trace=f"chatcmpl-{MOMENT}", reason="correction", correction="8 EUR.")
PASSAGE = Passage(document="fees", title="Fees", digest=A, start=0, end=5, text="8 EUR")
CITATION = Citation(
    marker=1, claim="8 EUR", document="fees", title="Fees", digest=A, start=0, end=5, quote="8 EUR", verified=True
)
TRACE = Trace(
    id=f"chatcmpl-{MOMENT}",
    at="2026-01-31T12:00:00Z",
    alias="support",
    model=MODEL.id,
    deployment=DEPLOYMENT.id,
    messages=(Message(role="user", content="What does a card cost?"),),
    answer="8 EUR [1].",
    passages=(PASSAGE,),
    citations=(CITATION,),
    decisions=(Decision(rule="advice", action="refuse", side="input", why="no advice", evidence="pattern"),),
    milliseconds={"generate": 12.5},
)

SCHEMA = LabelSchema(
    name="tone", questions=(LabelQuestion(name="kind", type="choice", options=("warm", "cold")),), guidelines="Be fair."
)
LABELS = LabelSet(dataset=DATASET.id, schema_id=SCHEMA.id, labels=B, count=2, annotators=("ann", "ben"))

KEPT: tuple[Record, ...] = (
    DATASET,
    RECIPE,
    RUN,
    MODEL,
    INDEX,
    SUITE,
    REPORT,
    GATE,
    VERDICT,
    POLICY,
    DEPLOYMENT,
    REVIEW,
    SCHEMA,
    LABELS,
)
