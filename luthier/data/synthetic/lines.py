"""A draft → the line of a file that a build reads, with everything that says where it comes from. Pure.

`metadata.synthetic` is "true" on every line; the cap of a build counts by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from luthier.data.synthetic.drafts import Draft, Refusal
from luthier.data.synthetic.share import MARK
from luthier.data.synthetic.templates import TEMPLATES, Kind

CONSENT = "synthetic"
"""The basis of the rows' use; `data.consents` has to name it where it names any."""
KEY = "key"


class Generator(NamedTuple):
    """Who writes, and from which seed."""

    model: str
    where: str
    """`engine` for our own, `endpoint` for any other: no address, which may hold a secret."""
    seed: int = 0


def line_of(kind: Kind, key: str, draft: Draft, generator: Generator) -> dict[str, Any]:
    """The line: OpenAI's chat format, or TRL's preference format for a pair."""
    basis = f"{CONSENT} until {draft.until}" if draft.until else CONSENT
    marks = {
        MARK: "true",
        "kind": kind,
        KEY: key,
        "generator": f"{generator.model} ({generator.where})",
        "prompt": f"{TEMPLATES[kind].version} seed {generator.seed}",
        "consent": basis,
    }
    if draft.licence:
        marks["licence"] = draft.licence
    rest = {"language": draft.language, "metadata": marks | dict(draft.metadata)}
    asked = {"role": "user", "content": draft.question}
    if draft.rejected:
        return {"prompt": [asked], "chosen": draft.answer, "rejected": draft.rejected} | rest
    return {"messages": [asked, {"role": "assistant", "content": draft.answer}]} | rest


def refusal_line(kind: Kind, key: str, refusal: Refusal, generator: Generator) -> dict[str, Any]:
    """The line of a candidate that may not join."""
    told = {name: value for name, value in refusal._asdict().items() if value}
    return {
        "metadata": {MARK: "true", "kind": kind, KEY: key, "generator": f"{generator.model} ({generator.where})"}
    } | told


def key_in(line: Mapping[str, Any]) -> str:
    """The key of a line of ours, "" where it is none of ours."""
    metadata = line.get("metadata")
    ours = isinstance(metadata, Mapping) and metadata.get(MARK) == "true"
    return str(metadata.get(KEY, "")) if ours and isinstance(metadata, Mapping) else ""


def said_in(line: Mapping[str, Any]) -> str:
    """What the user of a line asks."""
    turns = line.get("messages") or line.get("prompt")
    first = turns[0] if isinstance(turns, list) and turns else None
    return str(first.get("content", "")) if isinstance(first, Mapping) else ""
