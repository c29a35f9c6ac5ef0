"""The body of a chat completion request → Asked, or one sentence that says what is wrong with it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Never, get_args

from luthier.gateway.failures import BadRequest, TooLarge
from luthier.records.data import Message, Role

MOST_BYTES = 1_000_000
"""Of a request's body."""
MOST_CHARACTERS = 8_000
"""Of a question: more does not fit beside the passages, and every sentence of it is screened."""
MOST_MESSAGES = 200
LONGEST_NAME = 200
NOT_OFFERED = ("tools", "functions", "response_format", "logprobs", "top_logprobs", "modalities", "audio", "logit_bias")
"""Fields that would change the answer and are not honoured: refused, rather than ignored in silence."""
HARMLESS: dict[str, tuple[Any, ...]] = {"response_format": ({"type": "text"},), "modalities": (["text"],)}
"""Values of these fields that ask for nothing more than text."""
ROLES: dict[str, Role] = {role: role for role in get_args(Role)} | {"developer": "system"}
PASSED_ON = {"top_p": (0.0, 1.0), "frequency_penalty": (-2.0, 2.0), "presence_penalty": (-2.0, 2.0)}


@dataclass(frozen=True)
class Asked:
    """A request that makes sense."""

    model: str
    messages: tuple[Message, ...]
    question: str
    """What the user says last: several user messages in a row are one question."""
    max_tokens: int | None = None
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    extra: tuple[tuple[str, float], ...] = ()
    stream: bool = False
    include_usage: bool = False


def read_request(raw: bytes, model: str = "") -> Asked:
    """The request in `raw`. `model` is what the path names; the body need not repeat it. Raises BadRequest."""
    body = _object(raw)
    for name in NOT_OFFERED:
        if body.get(name) and body[name] not in HARMLESS.get(name, ()):
            _bad(f"{name} is not offered here", "leave it out", name)
    if body.get("n") not in (None, 1):
        _bad("n has to be 1: one request, one checked answer", "leave it out", "n")
    messages = _messages(body.get("messages"))
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        _bad("stream_options has to be an object", "send {'include_usage': true}", "stream_options")
    return Asked(
        model=_model(body.get("model") or model),
        messages=messages,
        question=_question(messages),
        max_tokens=_max_tokens(body),
        temperature=_number(body, "temperature", 0.0, 2.0) or 0.0,
        seed=_integer(body, "seed"),
        stop=_stop(body.get("stop")),
        extra=tuple(
            (name, value)
            for name, (low, high) in PASSED_ON.items()
            if (value := _number(body, name, low, high)) is not None
        ),
        stream=_flag(body, "stream"),
        include_usage=options.get("include_usage") is True,
    )


def too_large() -> TooLarge:
    """What is said of a body over MOST_BYTES."""
    return TooLarge(f"the request is larger than {MOST_BYTES:,} bytes", "send less text")


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not valid JSON in UTF-8", "send one JSON object") from error
    if not isinstance(body, dict):
        _bad("the body is not a JSON object", "send one JSON object")
    return body


def _no_constant(name: str) -> Never:
    raise ValueError(name)


def _model(name: Any) -> str:
    if not isinstance(name, str) or not name:
        _bad("no model is named", "set model to one of those that GET /v1/models lists", "model")
    if len(name) > LONGEST_NAME:
        _bad("the name of the model is too long", "take one of those that GET /v1/models lists", "model")
    return _utf8(name, "model")


def _messages(given: Any) -> tuple[Message, ...]:
    if not isinstance(given, list) or not given:
        _bad("there are no messages", "send at least one message with the role 'user'", "messages")
    if len(given) > MOST_MESSAGES:
        _bad(f"there are more than {MOST_MESSAGES} messages", "send the last ones only", "messages")
    return tuple(_message(item, f"messages[{place}]") for place, item in enumerate(given))


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict):
        _bad(f"{where} is not an object", "send {'role': 'user', 'content': '...'}", where)
    given = item.get("role")
    role = next((known for known in ROLES if known == given), None)
    if role is None:
        _bad(f"{where}: role {_cut(given)} is unknown", f"take one of: {', '.join(ROLES)}", f"{where}.role")
    content = _content(item.get("content"), role, where)
    return Message(role=ROLES[role], content=_utf8(content, f"{where}.content"))


def _content(content: Any, role: str, where: str) -> str:
    if isinstance(content, str):
        return content
    if content is None and role in ("assistant", "tool"):
        return ""
    if not isinstance(content, list):
        _bad(f"{where}: content is no text", "send content as a string", f"{where}.content")
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            _bad(f"{where}: a part of type {_cut(kind)} cannot be read", "send text parts only", f"{where}.content")
    return "\n".join(part["text"] for part in content)


def _question(messages: tuple[Message, ...]) -> str:
    turns = [message for message in messages if message.role != "system"]
    asked: list[str] = []
    while turns and turns[-1].role == "user":
        asked.insert(0, turns.pop().content)
    question = "\n".join(asked)
    if not question.strip():
        _bad("nothing is asked", "let the last message be the user's, with some text in it", "messages")
    if len(question) > MOST_CHARACTERS:
        _bad(f"the question has more than {MOST_CHARACTERS:,} characters", "ask in fewer words", "messages")
    return question


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        wanted = _integer(body, name)
        if wanted is not None and wanted < 1:
            _bad(f"{name} has to be at least 1", "leave it out for the usual length", name)
        if wanted is not None:
            return wanted
    return None


def _stop(given: Any) -> tuple[str, ...]:
    found = [given] if isinstance(given, str) else (given or [])
    if not isinstance(found, list) or len(found) > 4 or not all(isinstance(text, str) and text for text in found):
        _bad("stop has to be a string or up to four strings", "correct it", "stop")
    return tuple(_utf8(text, "stop") for text in found)


def _integer(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**63):
        _bad(f"{name} has to be a whole number", "correct it", name)
    return value


def _number(body: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        _bad(f"{name} has to be a number from {low:g} to {high:g}", "correct it", name)
    return float(value)


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value not in (None, True, False):
        _bad(f"{name} has to be true or false", "correct it", name)
    return bool(value)


def _utf8(text: str, where: str) -> str:
    """`text`, refused where it holds half a character: JSON can spell what no file or database can keep."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(f"{where} holds a broken character", "send valid Unicode", where) from error
    return text


def _cut(value: Any) -> str:
    """`value` as it is quoted in an error: its first letters."""
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"


def _bad(what: str, mend: str, param: str = "") -> Never:
    raise BadRequest(what, mend, param)
