"""Passages, a row and a policy that synthetic rows are made from in tests."""

from __future__ import annotations

from luthier.data.synthetic.drafts import Example, Material, Refusal
from luthier.data.synthetic.lines import Generator
from luthier.data.synthetic.makers import MAKERS
from luthier.records.knowledge import Passage
from luthier.records.serving import Rule, ServingPolicy

FEES = (
    "A second Lark card costs 9 EUR per year. The card arrives within 5 working days. You can pause a card for 7 days."
)

PASSAGE = Passage(document="fees", title="Card fees", digest="d" * 64, start=10, end=10 + len(FEES), text=FEES)

HOURS = "The branch in Port Sedge opens at 9:30 on Saturdays. It is closed on Sundays and on public holidays."

OTHER = Passage(document="hours", title="Opening hours", digest="e" * 64, start=0, end=len(HOURS), text=HOURS)

EXAMPLE = Example(
    row="r1",
    question="What do I pay for a second Lark card?",
    answer="A second Lark card costs 9 EUR per year.",
    language="en",
    dialogue="d-7",
    documents="fees",
    licence="CC0-1.0",
    until="2030-01-31",
)

POLICY = ServingPolicy(
    name="desk",
    rules=(
        Rule(
            id="person",
            side="input",
            action="escalate",
            why="Somebody asks for a human being.",
            patterns=("human|colleague",),
            like=("Let me speak to a human",),
            unlike=("Is there a human rights policy?", "What does a card cost?"),
        ),
        Rule(id="cards", side="output", action="redact", entities=("CARD",)),
    ),
    messages={
        "escalate": {"en": "I am passing you on."},
        "abstain": {"en": "I could not find this in our documents.", "de": "Das steht nicht in unseren Unterlagen."},
    },
)

MATERIAL = Material(
    (PASSAGE, OTHER),
    (EXAMPLE,),
    POLICY,
    decides=lambda text: "person" if "human" in text or "colleague" in text else "",
    licence="CC-BY-4.0",
)

GENERATOR = Generator("tiny", "endpoint", 3)


def judged(kind, *answers, material=MATERIAL, at=0):
    return MAKERS[kind](material)[at].judge(answers)


def reason(found) -> str:
    assert isinstance(found, Refusal), found
    return found.reason
