"""Source `preferences`: an answer that was preferred, and one that was not.

OpenAI:  {"input": {"messages": […], "tools": […]}, "preferred_output": [message], "non_preferred_output": [message]}
TRL:     {"prompt": text or messages, "chosen": text or messages, "rejected": text or messages}

Without `prompt` it is what both begin with: messages, texts with turns marked `Human:` and `Assistant:`, or words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.data.formats import objects
from luthier.data.formats.turns import BESIDE, an_object, answer_of, dialogue, listed, prompt_of, turn
from luthier.data.raw import NotADialogue, Raw, Refused
from luthier.records.data import Message

USED = ("input", "preferred_output", "non_preferred_output", "prompt", "chosen", "rejected")
FIELDS = (*USED, *BESIDE)
MARKED = re.compile(r"(?:\A|\n\n)(Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every row of a JSONL file or a JSON list. Raises BadData, BadConfig for a mapping."""
    return objects.read(path, mapping, FIELDS, understood)


def understood(number: int, data: Any) -> Raw:
    """One row. Raises NotADialogue."""
    data = an_object(data)
    if "preferred_output" in data or "non_preferred_output" in data:
        asked = data.get("input")
        prompt = listed(asked.get("messages") if isinstance(asked, dict) else None, "input.messages")
        chosen = answer_of(data.get("preferred_output"), "preferred_output")
        rejected = answer_of(data.get("non_preferred_output"), "non_preferred_output")
        tools = asked.get("tools") if isinstance(asked, dict) else None
        return paired(number, prompt + chosen, prompt + rejected, data if tools is None else data | {"tools": tools})
    both = data.get("chosen"), data.get("rejected")
    if data.get("prompt") is not None:
        prompt = prompt_of(data["prompt"], "prompt")
        better, worse = (answer_of(side, name) for side, name in zip(both, ("chosen", "rejected"), strict=True))
        return paired(number, joined(prompt, better), joined(prompt, worse), data)
    if isinstance(both[0], str) and isinstance(both[1], str):
        better, worse = split(both[0], both[1])
        return paired(number, better, worse, data)
    return paired(number, listed(both[0], "chosen"), listed(both[1], "rejected"), data)


def joined(prompt: list[Message], answer: list[Message]) -> list[Message]:
    """Prompt and answer; some sets repeat the prompt in front of the answer."""
    return answer if answer[: len(prompt)] == prompt and len(answer) > len(prompt) else prompt + answer


def paired(number: int, better: Sequence[Message], worse: Sequence[Message], data: Mapping[str, Any]) -> Raw:
    """The preferred dialogue, with what stood in place of its last turn. Raises NotADialogue."""
    shared = next((n for n, (one, two) in enumerate(zip(better, worse, strict=False)) if one != two), None)
    if shared is None:
        raise NotADialogue("chosen and rejected say the same, or one of them ends where the other goes on")
    if shared < len(better) - 1:
        raise NotADialogue(f"chosen and rejected part before the last turn (turn {shared + 1} of {len(better)})")
    dialogue(number, list(worse), {}, ())  # refused where what was not preferred makes no dialogue either
    made = dialogue(number, list(better), data, USED)
    return made._replace(rejected=tuple(worse[shared:]))


def split(chosen: str, rejected: str) -> tuple[list[Message], list[Message]]:
    """Two texts that hold their prompt, as turns: by the marks, or at the last word that both begin with."""
    if MARKED.match(chosen) and MARKED.match(rejected):
        return marked(chosen, "chosen"), marked(rejected, "rejected")
    shared = chosen[: next((n for n, (one, two) in enumerate(zip(chosen, rejected, strict=False)) if one != two), None)]
    prompt = shared if not shared or shared[-1:].isspace() else shared[: last_space(shared)]
    if not prompt.strip():
        raise NotADialogue("there is no prompt, and chosen and rejected begin with different words")
    asked = turn("user", prompt.strip(), "prompt")
    better, worse = (
        answer_of(side[len(prompt) :], name) for side, name in ((chosen, "chosen"), (rejected, "rejected"))
    )
    return [asked, *better], [asked, *worse]


def last_space(text: str) -> int:
    """Where the last word of `text` begins."""
    return len(text) - len(re.split(r"\s", text)[-1])


def marked(text: str, name: str) -> list[Message]:
    """The turns of a text in which each begins with a blank line and `Human:` or `Assistant:`."""
    _, *parts = MARKED.split(text)
    return [
        turn(ROLES[who], said.strip(), f"a turn of {name}") for who, said in zip(parts[::2], parts[1::2], strict=True)
    ]
