"""The whole loop as one durable workflow: documents and dialogues in, a gated, served, fine-tuned assistant out,
a correction reviewed, the next dataset version. Steps pass ids of records, nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dbos import DBOS

from luthier.access import Principal
from luthier.errors import GateFailed
from luthier.gateway.policy_file import read_policy
from luthier.lm.pull import pull
from luthier.records.data import DatasetVersion
from luthier.records.evaluation import EvalReport, Suite, Verdict
from luthier.records.knowledge import IndexVersion
from luthier.records.serving import Deployment
from luthier.records.training import ModelVersion
from luthier.release import registry
from luthier.workflows import crew, data, evaluation, grounded, knowledge, showcase, training

ENGINEER = Principal("demo-engineer", ("engineer",), "staff")
APPROVER = Principal("demo-approver", ("approver",), "staff")
SPACY = "en-core-web-sm"


@DBOS.workflow()
def ring(project: str) -> dict[str, Any]:
    """Every stage once. Raises GateFailed where the tuned model does not pass."""
    pull_models()
    dialogues = build_data()
    index = index_documents()
    dataset = ground(dialogues, index)
    run = new_run()
    model = train(run, dataset)
    suite = make_suite()
    base = measure_base(suite)
    report = measure_tuned(suite, model, base)
    verdict = judge(report)
    made: dict[str, Any] = {
        "dialogues": dialogues,
        "index": index,
        "dataset": dataset,
        "run": run,
        "model": model,
        "suite": suite,
    }
    made |= {"base_report": base, "report": report, "verdict": verdict}
    if not passed(verdict):
        return made | {"outcome": "gate failed"}
    deployment = release(model, verdict, index)
    answers = ask()
    review = correct(answers)
    following = next_dataset(dialogues)
    made |= {"deployment": deployment, "answers": answers, "review": review, "next": following}
    return made | {"outcome": "deployed"}


def require_deployed(made: dict[str, Any]) -> None:
    """Raise GateFailed where the ring ended at the gate."""
    if made["outcome"] != "deployed":
        raise GateFailed("the tuned model did not pass the gate and was not deployed", "see the table above")


@DBOS.step()
def pull_models() -> None:
    """Fetch what is not there yet."""
    session = crew.current().session
    for name in (session.project.base, session.project.knowledge.embedder, SPACY):
        if not Path(name).is_dir():
            pull(name, progress=session.progress)


@DBOS.step()
def build_data() -> str:
    """Sources → scrubbed dataset version."""
    return data.build(crew.current().session).id


@DBOS.step()
def index_documents() -> str:
    """Documents → index version."""
    return knowledge.build(crew.current().session, crew.current().engine).id


@DBOS.step()
def ground(dialogues: str, index: str) -> str:
    """Dialogues + passages → training rows."""
    session, ledger = crew.current().session, crew.current().session.workspace.ledger
    version = ledger.get(index, IndexVersion)
    search = knowledge.searcher(session, version, crew.current().engine)
    abstain = read_policy(session.root / session.project.serving.policy).messages["abstain"]
    return grounded.ground(session, ledger.get(dialogues, DatasetVersion), version, search, abstain).id


@DBOS.step()
def new_run() -> str:
    """The id of the training run, kept so that a killed run goes on instead of starting again."""
    return training.new_run_id()


@DBOS.step()
def train(run: str, dataset: str) -> str:
    """Dataset + recipe → model version."""
    session = crew.current().session
    return training.train(session, run, dataset, training.recipe(session.project)).id


@DBOS.step()
def make_suite() -> str:
    """Files of questions → suite."""
    return evaluation.suite(crew.current().session).id


@DBOS.step()
def measure_base(suite: str) -> str:
    """Base model → report."""
    hands = crew.current()
    asked = hands.session.workspace.ledger.get(suite, Suite)
    base = evaluation.base_model(hands.session)
    return evaluation.measure(hands.session, asked, base, hands.gateway, hands.key).id


@DBOS.step()
def measure_tuned(suite: str, model: str, base: str) -> str:
    """Tuned model → report with paired differences to the base."""
    hands, ledger = crew.current(), crew.current().session.workspace.ledger
    tuned, baseline = ledger.get(model, ModelVersion), ledger.get(base, EvalReport)
    return evaluation.measure(hands.session, ledger.get(suite, Suite), tuned, hands.gateway, hands.key, baseline).id


@DBOS.step()
def judge(report: str) -> str:
    """Report + gate → verdict."""
    session = crew.current().session
    return evaluation.judge(session, session.workspace.ledger.get(report, EvalReport)).id


@DBOS.step()
def passed(verdict: str) -> bool:
    """Whether the gate lets the model through."""
    return crew.current().session.workspace.ledger.get(verdict, Verdict).outcome == "pass"


@DBOS.step()
def release(model: str, verdict: str, index: str) -> str:
    """Proposed by one, approved by another, deployed under the alias."""
    session, ledger = crew.current().session, crew.current().session.workspace.ledger
    policy = ledger.put(read_policy(session.root / session.project.serving.policy), session.by)
    registry.propose(ledger, model, verdict, ENGINEER)
    if registry.status(ledger, model).state == "proposed":
        registry.approve(ledger, model, APPROVER)
    live = registry.live(ledger, session.project.serving.alias)
    if live and live.model == model and live.index == index and live.policy == policy:
        return live.id
    deployment: Deployment = registry.deploy(ledger, model, session.project.serving.alias, policy, index, ENGINEER)
    return deployment.id


@DBOS.step()
def ask() -> dict[str, str]:
    """One answered, one refused and one escalated question, over the OpenAI API; the ids of their traces."""
    return showcase.ask(crew.current())


@DBOS.step()
def correct(answers: dict[str, str]) -> str:
    """A correction of an answer, reviewed and accepted."""
    return showcase.correct(crew.current(), answers)


@DBOS.step()
def next_dataset(dialogues: str) -> str:
    """The dataset version that holds the accepted correction."""
    session = crew.current().session
    return data.build(session, previous=session.workspace.ledger.get(dialogues, DatasetVersion)).id
