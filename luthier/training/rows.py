"""What is asked of a row before any method sees it: who speaks when, and whether it stands on both sides of a split.

Knows nothing of tokens and models.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from luthier.errors import BadData
from luthier.records.data import Message, Row

NEAR = 0.9
"""Jaccard similarity of runs of words from which on two dialogues are nearly one."""
RUN = 3
"""Words in a run."""


def check_roles(row: Row) -> None:
    """Refuse a dialogue that no server would ever be sent: the template may render it all the same."""
    before: Message | None = None
    for turn, message in enumerate(row.messages, start=1):
        if fault := wrong(message, before):
            raise BadData(f"turn {turn} {fault[0]}", fault[1])
        before = message
    for message in row.rejected:
        if message.role == "assistant" and not message.content.strip() and not message.tool_calls:
            raise BadData("the answer that was not preferred says nothing", "take the row out, or give it its words")


def wrong(message: Message, before: Message | None) -> tuple[str, str] | None:
    """What is wrong with a turn that follows `before`, and the mend; None where it may stand there."""
    if message.role == "tool":
        return wrong_result(message, before)
    earlier = before.role if before else "nobody"
    faults = {
        ("says nothing", "take it out, or give it its words"): not message.content.strip() and not message.tool_calls,
        ("stands in the middle of the dialogue", "move system messages to the front"): message.role == "system"
        and earlier not in ("nobody", "system"),
        ("answers before anybody asked", "put the user's turn before it"): message.role == "assistant"
        and earlier in ("nobody", "system"),
        ("follows another of its kind", "join the two, or put the user's turn between"): message.role == "assistant"
        and earlier == "assistant",
    }
    return next(((f"({message.role}) {what}", mend) for (what, mend), found in faults.items() if found), None)


def wrong_result(message: Message, before: Message | None) -> tuple[str, str] | None:
    """What is wrong with a tool's turn that follows `before`."""
    if before is None or not (before.role == "tool" or before.tool_calls):
        return "(tool) answers no call", "put the assistant's tool_calls before it"
    called = {str(call.get("id")) for call in before.tool_calls}
    if message.tool_call_id and called and message.tool_call_id not in called:
        return f"(tool) answers the call {message.tool_call_id!r}, which was not made", "mend its tool_call_id"
    return None


class Pair(NamedTuple):
    """A row of the training rows and one of those held out, that say the same or nearly."""

    trained: str
    held_out: str


def same(train: Sequence[Row], held_out: Sequence[Row]) -> list[Pair]:
    """Pairs that say the same but for case, blanks, punctuation and the spelling of characters."""
    seen = {plain(row): row.id for row in train}
    return [Pair(seen[key], row.id) for row in held_out if (key := plain(row)) in seen]


def nearly(train: Sequence[Row], held_out: Sequence[Row]) -> list[Pair]:
    """Pairs whose prompts and whose answers are each nearly one, with the same figures in them.

    Rows on one page share most of their prompt and differ in the answer; rows from one form differ in a figure.
    Neither is near in this sense. One pass over the training rows; the index holds those held out.
    """
    index: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    kept = [sides(row) for row in held_out]
    for place, each in enumerate(kept):
        for run in each.said:
            index[run].append(place)
    found: dict[int, str] = {}
    for row in train:
        mine = sides(row)
        shared = Counter(place for run in mine.said for place in index.get(run, ()))
        for place, count in shared.items():
            near = count >= NEAR * (len(mine.said) + len(kept[place].said) - count)
            if near and place not in found and alike(mine, kept[place]):
                found[place] = row.id
    return [Pair(trained, held_out[place].id) for place, trained in sorted(found.items())]


class Sides(NamedTuple):
    """Runs of words in what the assistant says and in what it is told, and every figure."""

    said: frozenset[tuple[str, ...]]
    told: frozenset[tuple[str, ...]]
    figures: tuple[str, ...]


def sides(row: Row) -> Sides:
    """The dialogue taken apart."""
    said, told = (
        " ".join(m.content for m in row.messages if (m.role == "assistant") is answers) for answers in (True, False)
    )
    return Sides(runs(said), runs(told), tuple(sorted(re.findall(r"\d+", f"{said} {told}"))))


def alike(one: Sides, other: Sides) -> bool:
    """Whether the prompts are nearly one too, and no figure differs."""
    shared = len(one.told & other.told)
    return one.figures == other.figures and shared >= NEAR * (len(one.told) + len(other.told) - shared)


def runs(text: str) -> frozenset[tuple[str, ...]]:
    """Every run of `RUN` words; a shorter text is one run."""
    words = folded(text).split()
    return frozenset(tuple(words[i : i + RUN]) for i in range(max(1, len(words) - RUN + 1)))


def plain(row: Row) -> tuple[str, ...]:
    """Who says what, as `folded`; calls of tools by their whole text."""
    return tuple(f"{m.role}:{folded(m.content)}:{m.tool_calls or ''}" for m in row.messages)


def folded(text: str) -> str:
    """Words in one case and one Unicode form, one blank between two."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))
