"""Training rows: what the gateway will show is what was learnt from, and a label cites only what carries it."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from luthier.data.build import impact
from luthier.data.spans import subject_key
from luthier.errors import BadData
from luthier.lm import grounding
from luthier.records.data import Message, Row
from luthier.records.knowledge import Passage
from luthier.workflows.grounded import ground
from luthier.workflows.session import Session
from tests.workflows.making import a_dataset, a_row, passage_of, world

ABSTAIN = {"en": "I could not find this in our documents.", "de": "Das steht dort nicht."}
FEES = passage_of()
HOURS = passage_of("# Hours\n\nThe branch at Market Square opens at 09:00.\n", "hours")
LOANS = passage_of("# Loans\n\nA loan runs for at most 84 months.\n", "loans")
ABOUT_FEES = {"documents": "fees"}
ANSWER = "A second Lark card costs 9 EUR per year."


def search(question: str, count: int, language: str) -> list[Passage]:
    """The right one comes third: it was missed narrowly."""
    return [HOURS, LOANS, FEES][:count]


def made(session: Session, rows: list[Row], **training: Any) -> list[Row]:
    part = session.project.training.model_copy(update={"questions_per_row": 1} | training)
    altered = Session(session.project.model_copy(update={"training": part}), session.root, session.workspace)
    index = world(session).index
    version = ground(altered, a_dataset(session, "d", rows), index, search, ABSTAIN)
    assert session.workspace.ledger.get(version.id) == version
    assert index.id in {parent.id for parent in version.parents()}
    lines = [Row.model_validate(line) for line in session.workspace.blobs.lines(version.rows)]
    assert sum(version.counts.values()) == len(lines)
    return lines


def asks(number: int, **more: Any) -> Row:
    return a_row(f"What does a second card cost, number {number}?", ANSWER, **more)


def shown(row: Row) -> tuple[Passage, ...]:
    """The passages in the row's prompt: it must be, to the letter, what the gateway would compose of them."""
    *before, prompt, _ = row.messages
    found = [passage for passage in (FEES, HOURS, LOANS) if passage.text in prompt.content]
    asked = [*before, Message(role="user", content=prompt.content.rpartition("Question: ")[2])]
    for order in permutations(found):
        if grounding.compose(asked, order, before[0].content)[-1] == prompt:
            return order
    raise AssertionError(prompt.content)


def test_a_row_carries_its_passages_as_the_gateway_renders_them(session: Session) -> None:
    (row,) = made(session, [asks(1, metadata=ABOUT_FEES)])
    assert [message.role for message in row.messages] == ["system", "user", "assistant"]
    assert row.messages[0].content == session.project.serving.instructions
    passages = shown(row)
    assert len(passages) == session.project.knowledge.passages
    assert FEES in passages
    (citation,) = grounding.cite(row.messages[-1].content, passages)
    assert (citation.document, citation.verified, citation.claim) == ("fees", True, ANSWER)


def test_every_label_cites_only_what_carries_it(session: Session) -> None:
    rows = made(session, [asks(n, metadata=ABOUT_FEES) for n in range(20)])
    assert len(rows) == 20
    assert len({shown(row).index(FEES) for row in rows}) == 2, "the right passage has no fixed place"
    for row in rows:
        assert all(citation.verified for citation in grounding.cite(row.messages[-1].content, shown(row)))


def test_an_answer_that_nothing_carries_makes_no_row(session: Session) -> None:
    wrong = a_row("What does it cost?", "It costs 12 EUR.", metadata=ABOUT_FEES)
    foreign = a_row("And when?", f"{ANSWER[:-1]} [7].", metadata=ABOUT_FEES)
    assert len(made(session, [wrong, foreign, asks(1, metadata=ABOUT_FEES)])) == 1
    with pytest.raises(BadData, match="carried by a passage"):
        made(session, [wrong])


def test_further_questions_follow_where_the_same_passages_answer_them(session: Session) -> None:
    dialogues = [asks(n, metadata=ABOUT_FEES) for n in range(7)]
    rows = made(session, dialogues, questions_per_row=3)
    assert sorted(len(row.messages) for row in rows) == [3, 7, 7]
    said = "".join(message.content for row in rows for message in row.messages)
    assert all(said.count(f"number {n}?") == 1 for n in range(7)), "each dialogue once"
    for row in (row for row in rows if len(row.messages) > 3):
        first, *followers = (message for message in row.messages if message.role == "user")
        opened = row.model_copy(update={"messages": row.messages[:3]})
        assert first.content.count("Question: ") == 1
        assert all(follower.content.startswith("Question: ") for follower in followers)
        for answer in row.messages[2::2]:
            assert answer.weight is None
            assert all(citation.verified for citation in grounding.cite(answer.content, shown(opened)))
        assert len(row.metadata["also"].split(",")) == 2


def test_what_follows_is_of_the_same_split_language_and_document_and_wholly_carried(session: Session) -> None:
    alone = [
        asks(0, metadata=ABOUT_FEES),
        asks(1, metadata=ABOUT_FEES, split="validation"),
        asks(2, metadata=ABOUT_FEES, language="de"),
        asks(3, metadata={"documents": "hours,fees"}),
        a_row("And when does it open?", "The branch at Market Square opens at 07:00.", metadata=ABOUT_FEES),
    ]
    assert {len(row.messages) for row in made(session, alone, questions_per_row=3)} == {3}


def test_a_row_that_teaches_to_abstain_is_followed_by_nothing(session: Session) -> None:
    rows = made(session, [asks(n, metadata=ABOUT_FEES) for n in range(9)], questions_per_row=3, unanswerable=0.999)
    assert {len(row.messages) for row in rows} == {3}


def test_a_person_is_found_in_the_rows_that_were_made_of_theirs(session: Session) -> None:
    theirs, others, left_out = (asks(n, metadata=ABOUT_FEES) for n in range(3))
    uncarried = a_row("What does it cost?", "It costs 12 EUR.", metadata=ABOUT_FEES)
    workspace = session.workspace
    lines = [
        {"key": subject_key(workspace.pseudonym_key, "Ines Amaro"), "rows": [theirs.id, uncarried.id]},
        {"key": subject_key(workspace.pseudonym_key, "Juan Gone"), "rows": [left_out.id]},
    ]
    subjects = workspace.blobs.put_lines(lines)
    dialogues = a_dataset(session, "d", [theirs, others, uncarried], subjects=subjects)
    version = ground(session, dialogues, world(session).index, search, ABSTAIN)
    (row,) = impact(version, workspace.blobs, workspace.pseudonym_key, "Ines Amaro")
    (learnt,) = (line for line in workspace.blobs.lines(version.rows) if line["id"] == row)
    assert "number 0" in "".join(message["content"] for message in learnt["messages"])
    assert impact(version, workspace.blobs, workspace.pseudonym_key, "Juan Gone") == []


def test_the_share_without_an_answer(session: Session) -> None:
    rows = made(session, [asks(n, metadata=ABOUT_FEES) for n in range(200)], unanswerable=0.25)
    without = [row for row in rows if row.messages[-1].content == ABSTAIN["en"]]
    assert 0.15 < len(without) / len(rows) < 0.35
    assert all(FEES not in shown(row) for row in without)


def test_a_question_that_no_document_answers_is_answered_so(session: Session) -> None:
    rows = made(
        session,
        [asks(0, metadata=ABOUT_FEES), a_row("Wie spät ist es?", "Fünf.", language="de", metadata={"documents": ""})],
    )
    assert {row.messages[-1].content for row in rows} > {"Das steht dort nicht."}


def test_where_nobody_named_the_documents_those_that_carry_the_answer_count(session: Session) -> None:
    rows = made(session, [asks(1), a_row("Who are you?", "A bank.")])
    assert len(rows) == 1, "an answer without documents is not taught to be unknown"
    assert FEES in shown(rows[0])


def test_only_answers_to_a_user_that_are_to_be_learnt(session: Session) -> None:
    say = {role: Message(role=role, content="A loan?") for role in ("system", "user")}  # type: ignore[arg-type]
    right = Message(role="assistant", content=ANSWER)
    messages = (say["system"], right, say["user"], right.model_copy(update={"weight": 0}), say["user"], right)
    rows = made(session, [asks(0, metadata=ABOUT_FEES).model_copy(update={"messages": messages})])
    assert len(rows) == 1
    assert rows[0].messages[-1].content.startswith(ANSWER[:-1])


def test_the_same_input_makes_the_same_rows(session: Session) -> None:
    asked = [asks(n, metadata=ABOUT_FEES) for n in range(30)]
    every = made(session, asked, unanswerable=0.2)
    assert made(session, asked, unanswerable=0.2) == every
    assert {row.id for row in made(session, asked[:20], unanswerable=0.2)} <= {row.id for row in every}
    assert made(session, asked, unanswerable=0.2, seed=1) != every
    assert len(made(session, asked, most_rows=7)) == 7


def test_an_answer_that_was_not_wanted_makes_no_row(session: Session) -> None:
    unwanted = asks(1, metadata=ABOUT_FEES).model_copy(update={"good": False})
    assert len(made(session, [asks(0, metadata=ABOUT_FEES), unwanted])) == 1
