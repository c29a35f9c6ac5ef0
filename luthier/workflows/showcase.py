"""What the demonstration asks its new assistant, over the OpenAI API, and the correction that it receives."""

from __future__ import annotations

import json
from functools import partial
from typing import NamedTuple

from luthier.access import Principal
from luthier.feedback import reviews
from luthier.lm.client import Client
from luthier.workflows import data
from luthier.workflows.crew import Crew

FILE = "showcase.jsonl"
REVIEWER = Principal("demo-reviewer", ("reviewer",), "staff")


class Shown(NamedTuple):
    """A question of the show and, where it has one, the answer that a person would have given."""

    role: str
    question: str
    correction: str = ""


def shown(hands: Crew) -> list[Shown]:
    """The questions of the project's `showcase.jsonl`; none where there is no such file."""
    path = hands.session.root / FILE
    if not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Shown(line["as"], line["question"], line.get("correction", "")) for line in lines]


def ask(hands: Crew) -> dict[str, str]:
    """Ask the deployed assistant each question; its role → the id of the answer, which is the id of its trace."""
    client, alias = Client(hands.gateway, hands.key), hands.session.project.serving.alias
    asked: dict[str, str] = {}
    for question in shown(hands):
        reply = client.chat([{"role": "user", "content": question.question}], alias, max_tokens=96)
        asked[question.role] = reply.id
    return asked


def correct(hands: Crew, answers: dict[str, str]) -> str:
    """Give the correction of the show as feedback on its answer and accept it; the review's id, or ""."""
    wrong = next((question for question in shown(hands) if question.correction), None)
    if wrong is None:
        return ""
    session = hands.session
    item = reviews.give(
        session.workspace,
        answers[wrong.role],
        rating="down",
        correction=wrong.correction,
        by="demo-customer",
        scrub=partial(data.scrubber(session).dialogue, language="en"),
    )
    reviews.decide(session.workspace.ledger, item.id, True, REVIEWER)
    return item.id
