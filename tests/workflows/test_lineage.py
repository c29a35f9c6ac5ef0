"""Why, and what for: on a ledger that was written by hand."""

from __future__ import annotations

import pytest

from luthier.data.spans import subject_key
from luthier.errors import UnknownName
from luthier.workflows.lineage import impact, models_in, why
from luthier.workflows.session import Session
from tests.workflows.making import a_dataset, a_row, a_trace, world


def test_why_names_everything_behind_an_answer(session: Session) -> None:
    made = world(session)
    session.workspace.ledger.tell(made.model.id, "proposed", {"verdict": made.verdict.id}, by="ada")
    session.workspace.ledger.tell(made.model.id, "approved", {"verdict": made.verdict.id}, by="bob")
    found = why(session, made.trace.id[:24])
    assert found.trace == made.trace
    steps = {step.id: step for step in found.steps}
    behind = (
        made.deployment,
        made.model,
        made.run,
        made.dataset,
        made.dialogues,
        made.index,
        made.verdict,
        made.policy,
    )
    assert {record.id for record in behind} <= set(steps)
    assert len(steps) == len(found.steps), "nothing twice"
    assert steps[made.dialogues.id].depth > steps[made.model.id].depth
    assert [row.messages[0].content for row in found.rows] == ["What does a second card cost?"]
    assert [(event.verb, event.by) for event in found.approvals] == [("proposed", "ada"), ("approved", "bob")]


def test_why_of_an_answer_that_cites_nothing(session: Session) -> None:
    made = world(session)
    other = a_trace(made.deployment, 1_700_000_000_001, citations=(), policy=None, ending="abstained")
    session.workspace.traces.put(other)
    assert why(session, other.id).rows == ()
    with pytest.raises(UnknownName):
        why(session, "chatcmpl-nothing")


def test_impact_of_a_person_a_row_and_a_document(session: Session) -> None:
    made = world(session)
    key = subject_key(session.workspace.pseudonym_key, "Marta Kovar")
    row = a_row("Where is my card?", "On its way.")
    subjects = session.workspace.blobs.put_lines([{"key": key, "rows": [row.id]}])
    apart = a_dataset(session, "others", [row], subjects=subjects)
    found = impact(session, "marta  kovar")
    assert found.rows == {apart.id: (row.id,)}
    assert [step.id for step in found.touched] == [apart.id]
    assert (found.aliases, models_in(found)) == ((), [])

    asked = next(iter(session.workspace.blobs.lines(made.dialogues.rows)))["id"]
    for what in (asked, "fees"):
        touched = impact(session, what)
        assert {made.model.id, made.dataset.id, made.deployment.id} <= {step.id for step in touched.touched}
        assert [model.id for model in models_in(touched)] == [made.model.id]
        assert touched.aliases == ("support",)
    with pytest.raises(UnknownName, match="Nobody Atall"):
        impact(session, "Nobody Atall")
