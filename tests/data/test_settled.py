"""What was settled about a row changes it: once, in any order, and as often as it was labelled."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from luthier.data.dedupe import Said, row_id
from luthier.data.labels import Settled
from luthier.data.settled import NEITHER, SettledLabels
from luthier.records.data import Message, Row
from luthier.records.labels import Answer, LabelQuestion, LabelSchema, Marked

SCHEMA = LabelSchema(
    name="support",
    questions=(
        LabelQuestion(name="faults", type="choice", options=("wrong", "long"), several=True),
        LabelQuestion(name="stars", type="rating"),
        LabelQuestion(name="helps", type="rating", good_from=3),
        LabelQuestion(name="better", type="preference"),
        LabelQuestion(name="figures", type="span", options=("fee",)),
        LabelQuestion(name="rewrite", type="rewrite"),
    ),
)
TOOLS = ({"type": "function", "function": {"name": "look"}},)
NEW = "A second card costs 9 EUR per year."


def a_row(answer: str = "It 9 EUR", rejected: str = "", **more: Any) -> Row:
    messages = Message(role="user", content="What does it cost?"), Message(role="assistant", content=answer)
    other = (Message(role="assistant", content=rejected),) if rejected else ()
    said = Said(messages, other, more.get("good"), more.get("tools", ()))
    return Row(id=row_id(said), split="train", source="s", line=1, messages=messages, rejected=other, **more)


def changed(row: Row, *answers: tuple[str, Answer | None], schema: LabelSchema = SCHEMA) -> Row | str:
    return SettledLabels([(schema, [Settled(row.id, name, value, "alone", ("ana",)) for name, value in answers])])(row)


def checked(row: Row | str) -> Row:
    """A row whose id is that of its words."""
    assert isinstance(row, Row)
    assert row.id == row_id(Said(row.messages, row.rejected, row.good, row.tools))
    return row


def test_a_rewrite_is_the_answer() -> None:
    row = a_row(tools=TOOLS)
    made = checked(changed(row, ("rewrite", NEW)))
    assert (made.messages[-1].content, made.good, made.tools) == (NEW, None, TOOLS)
    assert (made.changes, made.id != row.id) == (("rewrite rewrite",), True)
    assert checked(changed(a_row(good=False), ("rewrite", NEW))).good is True, "an answer that somebody wrote is wanted"


def test_a_preference_turns_a_pair_round_and_a_tie_leaves() -> None:
    row = a_row(rejected="Nothing.", tools=TOOLS)
    turned = checked(changed(row, ("better", "right")))
    assert (turned.messages[-1].content, turned.rejected[-1].content) == ("Nothing.", "It 9 EUR")
    assert checked(changed(row, ("better", "left"))).messages == row.messages
    assert changed(row, ("better", "tie")) == NEITHER


def test_a_rating_teaches_where_the_schema_says_from_which_on() -> None:
    assert checked(changed(a_row(), ("stars", 1))).good is None
    assert checked(changed(a_row(), ("helps", 3))).good is True
    bad = checked(changed(a_row(), ("helps", 2)))
    assert (bad.good, bad.metadata) == (False, {"helps": "2"})
    assert checked(changed(a_row(rejected="No."), ("helps", 2))).good is None, "a pair has no rating"
    for wrong in ({"good_from": 1}, {"good_from": 6}, {"good_from": 2, "type": "text"}):
        with pytest.raises(ValidationError, match="good_from"):
            LabelQuestion(**({"name": "q", "type": "rating"} | wrong))


@pytest.mark.parametrize("turned", [False, True])
def test_a_rating_is_of_the_answer_that_was_there(turned: bool) -> None:
    """Rated low and rewritten: the new answer is not the one that was rated, nor do places in the old one hold."""
    questions = SCHEMA.questions[::-1] if turned else SCHEMA.questions
    schema = SCHEMA.model_copy(update={"questions": questions})
    spans = (Marked(start=3, end=8, label="fee"),)
    answers: list[tuple[str, Answer]] = [("helps", 1), ("rewrite", NEW), ("figures", spans)]
    made = checked(changed(a_row(), *(answers[::-1] if turned else answers), schema=schema))
    assert (made.messages[-1].content, made.good) == (NEW, True)
    assert made.metadata == {"helps": "1"}


def test_others_are_noted() -> None:
    row = a_row()
    made = checked(changed(row, ("faults", ("long", "wrong")), ("figures", (Marked(start=3, end=8, label="fee"),))))
    assert made.metadata == {"faults": "long; wrong", "figures": "3-8 fee"}
    assert (made.id, made.messages) == (row.id, row.messages)
    assert changed(row, ("stars", None)) == row
    assert changed(row, ("unknown", 3)) == row
    assert SettledLabels()(row) is row


def test_a_row_that_was_labelled_again_under_its_new_id() -> None:
    row = a_row(rejected="Nothing.")
    turned = checked(changed(row, ("better", "right")))
    back = [Settled(row.id, "better", "right", "alone", ()), Settled(turned.id, "better", "right", "alone", ())]
    again = checked(SettledLabels([(SCHEMA, back)])(row))
    assert again.messages == row.messages, "whoever saw it turned round turned it back"
    written = [Settled(row.id, "better", "right", "alone", ()), Settled(turned.id, "rewrite", NEW, "alone", ())]
    assert checked(SettledLabels([(SCHEMA, written)])(row)).messages[-1].content == NEW


def test_the_later_version_of_a_schema_speaks_last() -> None:
    row = a_row()
    later = SCHEMA.model_copy(update={"guidelines": "Be strict.", "previous": SCHEMA.id})
    first = [Settled(row.id, "rewrite", "Old.", "alone", ()), Settled(row.id, "stars", 2, "alone", ())]
    second = [Settled(row.id, "rewrite", NEW, "alone", ())]
    made = checked(SettledLabels([(SCHEMA, first), (later, second)])(row))
    assert (made.messages[-1].content, made.metadata) == (NEW, {"stars": "2"})
