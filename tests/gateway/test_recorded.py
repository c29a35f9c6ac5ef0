"""The trace that is kept of an exchange."""

from __future__ import annotations

from luthier.gateway.desk import Desk
from luthier.records.serving import Trace
from tests.gateway.bench import Script
from tests.gateway.conftest import Ask
from tests.gateway.test_pipeline import GOOD, QUESTION


def test_a_trace_can_be_found_by_whom_it_speaks_of(
    desk: Desk, ask: Ask, script: Script, traces: dict[str, Trace]
) -> None:
    """The texts are scrubbed, so all that is left to find a person by is a keyed hash."""
    desk.keyed = lambda value: f"key of {''.join(filter(str.isalnum, value)).lower()}"
    script.says(GOOD)
    cut_up = "It begins with DE89 3704 0044 and goes on with 0532 and then 0130 and last 00."
    done = ask(f"I am anna@example.org. {cut_up} Why?", ("user", "Call +44 20 7946 0958"), ("assistant", "Yes."))
    kept = traces[done.id]
    assert kept.subjects == ("key of 442079460958", "key of annaexampleorg", "key of de89370400440532013000")
    assert "anna" not in kept.messages[-1].content
    assert "0532" not in kept.messages[-1].content
    desk.keyed = None
    assert traces[ask(QUESTION).id].subjects == ()
