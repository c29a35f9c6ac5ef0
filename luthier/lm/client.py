"""A client for OpenAI-shaped servers: our engine, vLLM, a hosted model. No torch; knows no policy and no ledger.

One client serves many threads at once. A request whose kept-alive connection turns out to be closed is sent once
more; nothing else is repeated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from luthier.errors import BadConfig, Busy, Forbidden, LuthierError, RunFailed, Unavailable, UnknownName

LOOPBACK = ("127.0.0.1", "localhost", "::1")
EMBED_TEXTS = 128
"""Texts in one request for embeddings."""

_BY_STATUS: dict[int, tuple[type[LuthierError], str]] = {
    400: (BadConfig, "correct the request"),
    401: (Forbidden, "give the server's key"),
    403: (Forbidden, "give a key that may do this"),
    404: (UnknownName, "ask for a model that its /v1/models names"),
    409: (Busy, "wait until it is done and try again"),
    422: (BadConfig, "correct the request"),
    429: (Unavailable, "wait and send fewer requests at once"),
    503: (Unavailable, "wait until the server is ready and try again"),
}


class Reply(NamedTuple):
    """A finished answer."""

    text: str
    finish: str
    """Why it ended: `stop`, `length`, `content_filter` …"""
    prompt_tokens: int
    completion_tokens: int
    id: str
    raw: dict[str, Any]
    """The whole response, as the server sent it."""


class Client:
    """One server at `url`, with or without its /v1. `timeout` in seconds is for the whole silence before an answer."""

    def __init__(self, url: str, key: str = "", timeout: float = 120.0) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.timeout = timeout
        try:
            host = httpx.URL(self.url).host
        except httpx.InvalidURL as error:
            raise BadConfig(f"{url!r} is no web address", "give one like http://127.0.0.1:8000") from error
        if not host or not self.url.startswith(("http://", "https://")):
            raise BadConfig(f"{url!r} is no web address", "give one like http://127.0.0.1:8000")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            trust_env=host not in LOOPBACK,  # a company's proxy knows nothing of this machine's own servers
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        model: str,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Reply:
        """The model's answer. `extra` goes into the request as it is.

        Raises Unavailable where the server does not answer, and the error that its status means otherwise.
        """
        fields = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed, "stop": stop}
        return as_reply(self._json("POST", "/v1/chat/completions", chat_body(messages, model, fields, extra)), self.url)

    def stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        model: str,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Iterator[str]:
        """The answer piece by piece. Raises as `chat` does, and Unavailable where it breaks off."""
        fields = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed, "stop": stop, "stream": True}
        body = chat_body(messages, model, fields, extra)
        with self._trouble(), self._http.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.status_code >= 400:
                response.read()
                raise refusal(response, self.url)
            yield from pieces(response.iter_lines(), self.url)

    def embed(self, texts: Sequence[str], model: str) -> NDArray[np.float32]:
        """One row of length 1 for each text: float32 (N, D); (0, 0) for no texts."""
        rows: list[list[float]] = []
        for at in range(0, len(texts), EMBED_TEXTS):
            body = {"model": model, "input": list(texts[at : at + EMBED_TEXTS]), "encoding_format": "float"}
            data = self._json("POST", "/v1/embeddings", body).get("data")
            if not isinstance(data, list) or len(data) != len(body["input"]):
                raise not_openai(self.url, "its embeddings are not one for each text")
            try:
                rows += [item["embedding"] for item in sorted(data, key=lambda item: int(item["index"]))]
            except (KeyError, TypeError) as error:
                raise not_openai(self.url, "its embeddings have no index or no numbers") from error
        if not rows:
            return np.zeros((0, 0), dtype=np.float32)
        vectors_ND = np.asarray(rows, dtype=np.float32)
        lengths_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
        unit_ND: NDArray[np.float32] = vectors_ND / np.maximum(lengths_N1, np.finfo(np.float32).tiny)
        return unit_ND

    def models(self) -> list[dict[str, Any]]:
        """What the server serves, as its /v1/models says it."""
        data = self._json("GET", "/v1/models").get("data")
        if not isinstance(data, list):
            raise not_openai(self.url, "its list of models is none")
        return data

    def load_adapter(self, name: str, path: str) -> None:
        """Have the server load the PEFT adapter in the folder `path` (a path of ITS disk) under `name`."""
        self._send("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})

    def unload_adapter(self, name: str) -> None:
        """Have the server forget the adapter `name`."""
        self._send("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    def healthy(self) -> bool:
        """Does the server say that it is well, within two seconds?"""
        try:
            return self._http.get("/health", timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False

    def wait(self, seconds: float, alive: Callable[[], bool] = lambda: True) -> None:
        """Return when the server is well. Raises Unavailable after `seconds`, or as soon as `alive` says no."""
        until = time.monotonic() + seconds
        while not self.healthy():
            if not alive():
                raise Unavailable(f"the server at {self.url} ended before it was ready", "read what it wrote last")
            if time.monotonic() > until:
                raise Unavailable(f"the server at {self.url} was not ready within {seconds:g} s", "give it more time")
            time.sleep(0.1)

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        response = self._send(method, path, body)
        try:
            found = response.json()
        except ValueError as error:
            raise not_openai(self.url, f"{path} answered no JSON") from error
        if not isinstance(found, dict):
            raise not_openai(self.url, f"{path} answered no JSON object")
        return found

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        with self._trouble():
            try:
                response = self._http.request(method, path, json=body)
            except httpx.RemoteProtocolError:  # the server had closed the connection that we kept
                response = self._http.request(method, path, json=body)
        if response.status_code >= 400:
            raise refusal(response, self.url)
        return response

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise Unavailable(
                f"{self.url} did not answer within {self.timeout:g} s", "ask for fewer tokens, or raise the timeout"
            ) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Unavailable(
                f"no server answers at {self.url} ({error})", "start it, or correct its address"
            ) from error


def chat_body(
    messages: Sequence[Mapping[str, Any]], model: str, fields: Mapping[str, Any], extra: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The request: fields that are None are left to the server."""
    given = {name: value for name, value in fields.items() if value is not None}
    return {"model": model, "messages": [dict(message) for message in messages], **given, **(extra or {})}


def as_reply(found: dict[str, Any], url: str) -> Reply:
    """The first choice of a chat completion."""
    try:
        choice = found["choices"][0]
        usage = found.get("usage") or {}
        content = choice["message"].get("content")
        return Reply(
            text=content if isinstance(content, str) else "",
            finish=choice.get("finish_reason") or "",
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            id=str(found.get("id", "")),
            raw=found,
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise not_openai(url, "its answer holds no choices[0].message") from error


def pieces(lines: Iterator[str], url: str) -> Iterator[str]:
    """The text in a stream of server-sent events, up to [DONE]."""
    for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        try:
            event = json.loads(data)
            if "error" in event:
                raise RunFailed(f"{url} gave up: {said(event)}", "send the request again")
            text = event["choices"][0]["delta"].get("content") if event.get("choices") else None
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise not_openai(url, "its stream holds something else than chat chunks") from error
        if text:
            yield text
    raise Unavailable(f"{url} broke off in the middle of its answer", "send the request again")


def refusal(response: httpx.Response, url: str) -> LuthierError:
    """The error that a status means, with the server's own words."""
    try:
        words = said(response.json())
    except ValueError:
        words = response.text.strip()[:300] or response.reason_phrase
    default = (RunFailed, "look into the server's log") if response.status_code >= 500 else (BadConfig, "correct it")
    kind, mend = _BY_STATUS.get(response.status_code, default)
    return kind(f"{url} refused with {response.status_code}: {words}", mend)


def said(body: Any) -> str:
    """The message in an error object, as OpenAI, vLLM or FastAPI shape it."""
    found = body
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    return str(found)[:500]


def not_openai(url: str, why: str) -> RunFailed:
    return RunFailed(f"{url} does not speak the OpenAI API: {why}", "check the address, and that the server is one")
