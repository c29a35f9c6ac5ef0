"""What a preference row becomes, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import BadData
from luthier.lm.chat import Chat
from luthier.records.data import Message, Row
from luthier.training.pairs import prepare
from luthier.training.preflight import check_item
from luthier.training.tree import only
from tests.golden.preferring import preference
from tests.training.making import dialogue


@pytest.fixture(scope="module")
def chat(base: Path) -> Chat:
    return Chat.load(base)


def said(chat: Chat, ids: list[int], learnt: list[bool]) -> str:
    return chat.tokenizer.decode([i for i, is_learnt in zip(ids, learnt, strict=True) if is_learnt])


@pytest.mark.parametrize("number", range(8))
def test_both_dialogues_are_there_token_for_token(chat: Chat, number: int) -> None:
    row = preference(number)
    item = prepare(row, chat)
    for side, answer in enumerate((row.messages[-1:], row.rejected)):
        alone = only(item, [side])
        whole = chat.training_ids((*row.messages[:-1], *answer))
        assert alone.ids == whole.ids
        assert said(chat, alone.ids, alone.learnt) == f"{answer[0].content}<|im_end|>"
    check_item(item, chat, len(chat.tokenizer))
    assert len(item.ids) < 2 * len(chat.training_ids(row.messages).ids)


def test_earlier_turns_are_context(chat: Chat) -> None:
    item = prepare(preference(4), chat)
    assert not any(item.learnt[: item.branches[0]])
    assert "It costs 8 EUR" in chat.tokenizer.decode(item.ids[: item.branches[0]])


def test_answers_that_begin_alike_are_learnt_from_their_first_word(chat: Chat) -> None:
    row = pair("Call the hotline at once.", "Call the hotline tomorrow.")
    item = prepare(row, chat)
    assert item.learnt[item.branches[0]]
    assert said(chat, *only(item, [1])[1:3]) == "Call the hotline tomorrow.<|im_end|>"


def test_a_rejected_answer_of_several_turns(chat: Chat) -> None:
    row = pair("It costs 8 EUR.", "Nothing.").model_copy(
        update={
            "rejected": (
                *dialogue("?", "Nothing.")[1:],
                Message(role="user", content="Sure?"),
                *dialogue("", "Yes.")[1:],
            )
        }
    )
    item = prepare(row, chat)
    assert said(chat, *only(item, [1])[1:3]) == "Nothing.<|im_end|>Yes.<|im_end|>"
    check_item(item, chat, len(chat.tokenizer))


def pair(chosen: str, rejected: str) -> Row:
    bad = (Message(role="assistant", content=rejected),) if rejected else ()
    messages = dialogue("How do I block my card?", chosen)
    return Row(id="one", split="train", source="made", line=1, messages=messages, rejected=bad)


@pytest.mark.parametrize(
    ("row", "what", "mend"),
    [
        (pair("Yes.", ""), "has no rejected answer", "`rejected`"),
        (pair("Yes.", "Yes."), "are the same", "take it out"),
        (pair("Yes.", "No.").model_copy(update={"messages": dialogue("Hello")}), "has no answer", "assistant turn"),
        (
            pair("Yes.", "No.").model_copy(update={"messages": dialogue("Hello?", "Yes.", weights=[0])}),
            "is not to be learnt",
            "weight: 0",
        ),
        (
            pair("Yes.", "No.").model_copy(update={"rejected": (Message(role="user", content="No."),)}),
            "is not to be learnt",
            "assistant turn",
        ),
    ],
)
def test_rows_that_teach_nothing_are_refused(chat: Chat, row: Row, what: str, mend: str) -> None:
    with pytest.raises(BadData, match=f"one {what}|row one {what}" if "are" not in what else what) as refused:
        prepare(row, chat)
    assert mend in refused.value.mend
