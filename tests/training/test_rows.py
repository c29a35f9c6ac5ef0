"""Who may speak when, and rows that stand on both sides of a split however they are spelled."""

from __future__ import annotations

import pytest

from luthier.errors import BadData
from luthier.records.data import Message, Row
from luthier.training import preflight, rows
from tests.training.making import dialogue, row, some_rows

ASKS, SAYS = Message(role="user", content="A?"), Message(role="assistant", content="B.")
CALL = {"id": "c1", "type": "function", "function": {"name": "block", "arguments": "{}"}}
CALLS = Message(role="assistant", tool_calls=(CALL,))
SYSTEM = Message(role="system", content="You are a bank.")


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ((SAYS,), r"turn 1 \(assistant\) answers before anybody asked"),
        ((SYSTEM, SAYS), r"turn 2 \(assistant\) answers before anybody asked"),
        ((ASKS, SAYS, SAYS), r"turn 3 \(assistant\) follows another of its kind"),
        ((ASKS, SYSTEM, SAYS), r"turn 2 \(system\) stands in the middle"),
        ((Message(role="user", content=" \n"), SAYS), r"turn 1 \(user\) says nothing"),
        ((ASKS, Message(role="assistant", content="")), r"turn 2 \(assistant\) says nothing"),
        ((ASKS, Message(role="tool", content="ok"), SAYS), r"turn 2 \(tool\) answers no call"),
        ((ASKS, CALLS, Message(role="tool", content="ok", tool_call_id="c2"), SAYS), "call 'c2', which was not made"),
    ],
)
def test_a_dialogue_that_no_server_would_be_sent(messages: tuple[Message, ...], fault: str) -> None:
    with pytest.raises(BadData, match=fault):
        rows.check_roles(row(1, messages))


@pytest.mark.parametrize(
    "messages",
    [
        (ASKS, SAYS, ASKS, SAYS),
        (SYSTEM, SYSTEM, ASKS, ASKS, SAYS),
        (ASKS, CALLS, Message(role="tool", content="", tool_call_id="c1"), SAYS),
        (ASKS, CALLS, Message(role="tool", content="x"), Message(role="tool", content="y"), SAYS),
        (ASKS, SAYS, ASKS),
    ],
)
def test_a_dialogue_as_servers_are_sent_it(messages: tuple[Message, ...]) -> None:
    rows.check_roles(row(1, messages))


def test_an_empty_answer_that_was_not_preferred() -> None:
    pair = row(1, (ASKS, SAYS)).model_copy(update={"rejected": (Message(role="assistant"),)})
    with pytest.raises(BadData, match="not preferred says nothing"):
        rows.check_roles(pair)


@pytest.mark.parametrize("spelling", ["what  does a\ncard COST", "What does a card cost?!", "Ｗhat does a card cost"])
def test_the_same_row_spelled_otherwise(spelling: str) -> None:
    train = [*some_rows(3, 0), row(7, dialogue("What does a card cost?", "It costs 8 EUR."))]
    with pytest.raises(BadData, match="row validation-001 of the validation rows is row train-007 of the training"):
        preflight.check_overlap(train, [row(1, dialogue(spelling, "it costs 8 EUR"), "validation")])


LONG = "The card is sent by post within five working days and has to be signed before it is used at any till or machine"


def near(trained: Row, held_out: Row) -> tuple[str, ...]:
    return preflight.check_overlap([*some_rows(5, 0), trained], [held_out])


def test_a_row_that_is_nearly_the_same_is_named() -> None:
    one = row(8, dialogue("How does my new card reach me, please?", LONG))
    (said,) = near(one, row(2, dialogue("How does my new card reach me, please?", f"{LONG} there"), "validation"))
    assert said.startswith("1 of 1 held-out rows are nearly training rows: the first is validation-002")
    assert "nearly train-008" in said


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How long is it until somebody blocks a stolen one?", LONG),  # the same answer to another question
        ("How does my new card reach me, please?", "It does not: you collect it at the branch."),
        ("How does my new card reach me, please?", f"{LONG} 24"),  # another figure
    ],
)
def test_a_row_with_one_side_in_common_is_another_row(question: str, answer: str) -> None:
    one = row(8, dialogue("How does my new card reach me, please?", LONG))
    assert near(one, row(2, dialogue(question, answer), "validation")) == ()
