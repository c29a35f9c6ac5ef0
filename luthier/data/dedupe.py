"""Rows that say the same. Pure.

Compared after scrubbing: two customers' questions that differ in their names alone teach the same thing once.
Near-duplicates are kept: in dialogues about fees they differ in the one figure that matters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from unicodedata import normalize

from luthier.records.data import Message


def row_id(messages: Sequence[Message]) -> str:
    """sha256 over the scrubbed messages as JSON, first 16 letters."""
    return digest([message.model_dump(mode="json", exclude_defaults=True) for message in messages])[:16]


def same_key(messages: Sequence[Message]) -> str:
    """Equal for dialogues whose words are equal; case, blanks and spellings of one character (NFKC) do not count."""
    said = [" ".join(normalize("NFKC", message.content).casefold().split()) for message in messages]
    calls = [message.tool_calls for message in messages]
    return digest([[message.role for message in messages], said, calls])


def digest(data: object) -> str:
    """sha256 of `data` as JSON. Not RFC 8785, which has no large whole numbers; tool calls may hold some."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
