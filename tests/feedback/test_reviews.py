"""Reviews on a real workspace: given scrubbed, queued, decided once, handed on as dialogues."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from luthier.access import Principal
from luthier.errors import BadConfig, Forbidden, UnknownName
from luthier.feedback import reviews
from luthier.records.data import Found, Message, Scrubbed
from luthier.records.feedback import ReviewItem
from luthier.records.knowledge import Passage
from luthier.records.serving import Ending, Trace
from luthier.store.workspace import Workspace

REVIEWER = Principal("rita", ("reviewer",))
MAIL = re.compile(r"[\w.]+@[\w.]+\w")


def scrub(texts: Sequence[str]) -> list[Scrubbed]:
    """Replaces mail addresses, with one number for one address in all texts."""
    seen: dict[str, str] = {}

    def placeholder(match: re.Match[str]) -> str:
        return seen.setdefault(match[0], f"<EMAIL_{len(seen) + 1}>")

    return [
        Scrubbed(MAIL.sub(placeholder, text), tuple(Found(*m.span(), "EMAIL", m[0]) for m in MAIL.finditer(text)))
        for text in texts
    ]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        yield workspace


def answered(workspace: Workspace, number: int = 1, ending: Ending = "answered") -> str:
    passages = tuple(
        Passage(document=name, title=name, digest="0" * 64, start=0, end=4, text="text")
        for name in ("cards", "cards", "fees")
    )
    trace = Trace(
        id=f"chatcmpl-{number:026}",
        at="2026-01-01T00:00:00Z",
        alias="desk",
        model="model-1",
        messages=(Message(role="user", content="What does a card cost?"),),
        answer="A card costs 8 EUR [1].",
        ending=ending,
        passages=passages,
    )
    return workspace.traces.put(trace)


def only(workspace: Workspace) -> reviews.Accepted:
    (row,) = reviews.accepted_rows(workspace)
    return row


@pytest.mark.parametrize(
    ("said", "ending", "reason"),
    [
        ({"rating": "up"}, "answered", "thumb"),
        ({"rating": "down", "comment": "Wrong."}, "answered", "comment"),
        ({"rating": "down", "comment": "Wrong.", "correction": "It costs 9 EUR."}, "answered", "correction"),
        ({}, "escalated", "escalation"),
        ({"correction": "It costs 9 EUR."}, "escalated", "correction"),
    ],
)
def test_feedback_is_queued_for_its_weightiest_reason(
    workspace: Workspace, said: dict[str, str], ending: Ending, reason: str
) -> None:
    item = reviews.give(workspace, answered(workspace, ending=ending), by="web", scrub=scrub, **said)  # type: ignore[arg-type]
    assert item.reason == reason
    assert workspace.ledger.get(item.id, ReviewItem) == item
    assert reviews.queue(workspace.ledger) == [reviews.Queued(item, "waiting")]


def test_feedback_that_says_nothing_or_of_nothing_is_refused(workspace: Workspace) -> None:
    with pytest.raises(BadConfig, match="says nothing"):
        reviews.give(workspace, answered(workspace), comment="  ", by="web", scrub=scrub)
    with pytest.raises(UnknownName):
        reviews.give(workspace, "chatcmpl-9999", rating="up", by="web", scrub=scrub)
    assert reviews.queue(workspace.ledger) == []


def test_no_personal_data_is_kept_anywhere(workspace: Workspace) -> None:
    said = {"comment": "ada@example.org wrote it", "correction": "Write to bob@example.org and ada@example.org."}
    item = reviews.give(workspace, answered(workspace), by="web", scrub=scrub, **said)
    assert item.comment == "<EMAIL_1> wrote it"
    assert item.correction == "Write to <EMAIL_2> and <EMAIL_1>."
    reviews.decide(workspace.ledger, item.id, True, REVIEWER, "asked cy@example.org", scrub=scrub)
    assert reviews.queue(workspace.ledger, "accepted")[0].note == "asked <EMAIL_1>"
    for path in workspace.folder.rglob("*"):
        assert not path.is_file() or b"@example.org" not in path.read_bytes()


def test_a_note_takes_a_scrubber(workspace: Workspace) -> None:
    item = reviews.give(workspace, answered(workspace), rating="up", by="web", scrub=scrub)
    with pytest.raises(BadConfig, match="pass the scrubber"):
        reviews.decide(workspace.ledger, item.id, True, REVIEWER, "fine")
    assert reviews.queue(workspace.ledger)[0].state == "waiting"


def test_a_decision_is_made_once_and_by_a_reviewer(workspace: Workspace) -> None:
    one = reviews.give(workspace, answered(workspace, 1), rating="up", by="web", scrub=scrub)
    two = reviews.give(workspace, answered(workspace, 2), rating="down", by="web", scrub=scrub)
    with pytest.raises(Forbidden, match="may not review"):
        reviews.decide(workspace.ledger, one.id, True, Principal("web", ("caller",)))
    decided = reviews.decide(workspace.ledger, one.id, False, REVIEWER, "A test.", scrub=scrub)
    assert decided[1:4] == ("rejected", "rita", "A test.")
    with pytest.raises(BadConfig, match="rita rejected"):
        reviews.decide(workspace.ledger, one.id, True, REVIEWER)
    assert [queued.item for queued in reviews.queue(workspace.ledger)] == [two]
    assert reviews.queue(workspace.ledger, "rejected") == [decided]
    assert [queued.item for queued in reviews.queue(workspace.ledger, None)] == [one, two]
    assert [queued.item for queued in reviews.queue(workspace.ledger, None, limit=1)] == [one]


def test_of_two_decisions_at_once_the_first_counts(workspace: Workspace) -> None:
    item = reviews.give(workspace, answered(workspace), correction="It costs 9 EUR.", by="web", scrub=scrub)
    workspace.ledger.tell(item.id, "rejected", by="rita")
    workspace.ledger.tell(item.id, "accepted", by="ron")
    assert [queued.by for queued in reviews.queue(workspace.ledger, "rejected")] == ["rita"]
    assert reviews.accepted_rows(workspace) == []


def test_a_correction_becomes_a_dialogue(workspace: Workspace) -> None:
    trace = answered(workspace)
    item = reviews.give(workspace, trace, rating="down", correction="A card costs 9 EUR [1].", by="web", scrub=scrub)
    assert reviews.accepted_rows(workspace) == []
    reviews.decide(workspace.ledger, item.id, True, REVIEWER)
    row = only(workspace)
    assert row.messages == (
        Message(role="user", content="What does a card cost?"),
        Message(role="assistant", content="A card costs 9 EUR."),
    )
    assert row.metadata == {"review": item.id, "trace": trace, "documents": "cards,fees"}
    assert reviews.accepted_rows(workspace, since=row.seq) == []


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"rating": "up"}, "A card costs 8 EUR."),
        ({"rating": "up", "correction": "9 EUR."}, "9 EUR."),
        ({"rating": "down"}, None),
        ({"comment": "Hm."}, None),
    ],
)
def test_what_an_accepted_review_teaches(workspace: Workspace, said: dict[str, str], answer: str | None) -> None:
    item = reviews.give(workspace, answered(workspace), by="web", scrub=scrub, **said)  # type: ignore[arg-type]
    reviews.decide(workspace.ledger, item.id, True, REVIEWER)
    assert [row.messages[-1].content for row in reviews.accepted_rows(workspace)] == ([answer] if answer else [])


def test_the_latest_accepted_review_of_an_answer_stands(workspace: Workspace) -> None:
    trace = answered(workspace)
    for correction in ("9 EUR.", "10 EUR."):
        item = reviews.give(workspace, trace, correction=correction, by="web", scrub=scrub)
        reviews.decide(workspace.ledger, item.id, True, REVIEWER)
    rejected = reviews.give(workspace, trace, correction="11 EUR.", by="web", scrub=scrub)
    reviews.decide(workspace.ledger, rejected.id, False, REVIEWER)
    assert only(workspace).messages[-1].content == "10 EUR."


def test_an_erased_trace_takes_its_dialogue_along(workspace: Workspace) -> None:
    trace = answered(workspace)
    item = reviews.give(workspace, trace, correction="9 EUR.", by="web", scrub=scrub)
    reviews.decide(workspace.ledger, item.id, True, REVIEWER)
    workspace.traces.delete(trace)
    assert reviews.accepted_rows(workspace) == []
