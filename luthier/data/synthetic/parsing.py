"""What a model wrote → a question and an answer, or one text. Pure; whatever was written, it ends in texts.

Small models write lists where one thing was asked for, repeat the labels of the prompt, put everything into quotes
or JSON, or begin with “Sure, here is …”. All of that is read; what is left over is judged elsewhere.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

LONGEST = 4000
"""Characters of an answer that are looked at."""

_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```[\w-]*[ \t]*$", re.MULTILINE)
_ITEM = re.compile(r"^[ \t]*(?:[-*•]|\(?\d{1,2}[.)])[ \t]+")
_ASKED = r"question|q|frage|pregunta|other words|rewritten|paraphrase|message|reworded"
_SAID = r"answer|a|antwort|respuesta|response"
_LABEL = re.compile(
    rf"^[ \t]*[*_#\"“]*(?:(?P<asked>{_ASKED})|(?P<said>{_SAID}))[ \t]*\d{{0,2}}[*_]*[ \t]*:[*_]*[ \t]*", re.I
)
_PREFACE = re.compile(r"^(?:sure|certainly|of course|okay|here (?:is|are)|gern|natürlich|claro)\b.*[:!.]$", re.I)
_INLINE = re.compile(rf"(?<=[?.!\"”])[ \t]+(?=(?:{_SAID})[ \t]*:)", re.I)
QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "«": "»", "»": "«", "‘": "’", "`": "`"}


class Pair(NamedTuple):
    """A question and its answer; either may be missing."""

    question: str
    answer: str


def pair(text: str) -> Pair:
    """The first question in `text` and the answer that belongs to it, "" for what is not there."""
    body = cleaned(text)
    found = from_json(body)
    if found is not None:
        return Pair(tidy(found.question), tidy(found.answer))
    parts: dict[str, list[str]] = {"asked": [], "said": []}
    into = "asked"
    for line in lines(_INLINE.sub("\n", body)):
        label = _LABEL.match(line)
        then = label.lastgroup or into if label else into
        if label and parts[then]:
            break  # a second question begins
        if not label and "".join(parts[then][-1:]).endswith("?"):
            then = "said"
        if not label and parts["said"]:
            break
        into = then
        said = tidy(line[label.end() :] if label else line)
        parts[into] += [said] if said else []
    return Pair(tidy(" ".join(parts["asked"])), tidy(" ".join(parts["said"])))


def one(text: str) -> str:
    """The one thing that was asked for: the first item of a list, the first line with words, "" where there is none."""
    body = cleaned(text)
    found = from_json(body)
    if found is not None:
        return tidy(found.question or found.answer)
    for line in lines(body):
        label = _LABEL.match(line)
        said = tidy(line[label.end() :] if label else line)
        if said:
            return said
    return ""


def prose(text: str) -> str:
    """An answer as one paragraph, without the label that it may begin with."""
    said = [tidy(line) for line in lines(cleaned(text))]
    joined = " ".join(part for part in said if part)
    label = _LABEL.match(joined)
    return tidy(joined[label.end() :] if label else joined)


def cleaned(text: str) -> str:
    """`text` as far as it can be written: no lone surrogates, no control characters, no thoughts, no code fences."""
    body = text[:LONGEST].encode("utf-8", "ignore").decode()
    body = "".join(
        each for each in body if each in "\n\t" or unicodedata.category(each) not in ("Cc", "Cf", "Cn", "Co")
    )
    return _FENCE.sub("", _THOUGHT.sub("", unicodedata.normalize("NFC", body))).strip()


def lines(body: str) -> list[str]:
    """The lines that hold something, without list marks, and without a preface that other lines follow."""
    kept = [_ITEM.sub("", line).strip() for line in body.splitlines() if line.strip()]
    return kept[1:] if len(kept) > 1 and _PREFACE.match(kept[0]) else kept


def tidy(text: str) -> str:
    """One line, without the quotes or stars around it."""
    said = " ".join(text.split())
    for _ in range(3):
        if len(said) > 1 and QUOTES.get(said[0]) == said[-1] and said[0] not in said[1:-1]:
            said = said[1:-1].strip()
        if len(said) > 4 and said.startswith("**") and said.endswith("**"):
            said = said[2:-2].strip()
    return said


def from_json(body: str) -> Pair | None:
    """What the first JSON value in `body` says, where the text begins with one."""
    if not body.startswith(("{", "[", '"')):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(body)
    except (ValueError, RecursionError):
        return None
    return in_value(value) or Pair("", "")


def in_value(value: Any, depth: int = 4) -> Pair | None:
    """A pair in a JSON value: named so, or the first text."""
    if isinstance(value, str):
        return Pair(cleaned(value), "")
    if isinstance(value, list):
        return in_value(value[0], depth - 1) if value and depth else None
    if isinstance(value, Mapping) and depth:
        named = {str(key).casefold(): each for key, each in value.items()}
        texts = {name: cleaned(each) for name, each in named.items() if isinstance(each, str)}
        question = next((texts[name] for name in _ASKED.split("|") if name in texts), "")
        answer = next((texts[name] for name in _SAID.split("|") if name in texts), "")
        if question or answer:
            return Pair(question, answer)
        inner = next((each for each in value.values() if isinstance(each, list | Mapping)), None)
        return in_value(inner, depth - 1) if inner is not None else None
    return None
