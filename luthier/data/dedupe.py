"""Rows that say the same. Pure.

Compared after scrubbing: two customers' questions that differ in their names alone teach the same thing once.
Near-duplicates are kept: in dialogues about fees they differ in the one figure that matters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from unicodedata import normalize

from luthier.records.data import Message


class Said(NamedTuple):
    """What a row says, whatever its shape."""

    messages: Sequence[Message]
    rejected: Sequence[Message] = ()
    good: bool | None = None
    tools: Sequence[Mapping[str, object]] = ()

    @property
    def more(self) -> list[object]:
        """What a row says beside its messages; empty for a plain dialogue."""
        return [self.good, list(self.tools)] if self.rejected or self.tools or self.good is not None else []


def row_id(said: Said) -> str:
    """sha256 over the scrubbed messages (and what was rejected, or the rating) as JSON, first 16 letters."""
    turns = [message.model_dump(mode="json", exclude_defaults=True) for message in said.messages]
    more = [message.model_dump(mode="json", exclude_defaults=True) for message in said.rejected]
    return digest([turns, more, *said.more] if said.more else turns)[:16]


def same_key(said: Said) -> str:
    """Equal for rows whose words are equal; case, blanks and spellings of one character (NFKC) do not count."""
    turns, more = spelt(said.messages), spelt(said.rejected)
    return digest([*turns, more, *said.more] if said.more else turns)


def spelt(messages: Sequence[Message]) -> list[object]:
    """Roles, words and calls of messages in one spelling."""
    words = [" ".join(normalize("NFKC", message.content).casefold().split()) for message in messages]
    return [[message.role for message in messages], words, [message.tool_calls for message in messages]]


def digest(data: object) -> str:
    """sha256 of `data` as JSON. Not RFC 8785, which has no large whole numbers; tool calls may hold some."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
