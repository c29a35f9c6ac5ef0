"""The JSON that goes out, in OpenAI's shapes. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.engine.sampling import Scored
from luthier.errors import LuthierError, UnknownName

Json = dict[str, Any]
Spell = Callable[[int], str]  # a token id as text


def error(problem: LuthierError) -> Json:
    """OpenAI's error object."""
    kind = "invalid_request_error" if problem.http_status < 500 else "server_error"
    code = getattr(problem, "code", None) or ("model_not_found" if isinstance(problem, UnknownName) else None)
    param = getattr(problem, "param", None) or ("model" if isinstance(problem, UnknownName) else None)
    return {"error": {"message": str(problem), "type": kind, "param": param, "code": code}}


def usage(prompt: int, completion: int) -> Json:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def envelope(kind: str, reply_id: str, created: int, model: str, choices: Sequence[Json]) -> Json:
    """What every completion and every chunk has around its choices."""
    return {"id": reply_id, "object": kind, "created": created, "model": model, "choices": list(choices)}


def chat_choice(index: int, text: str, finish: str | None, logprobs: Json | None) -> Json:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}


def chat_delta(index: int, delta: Json, finish: str | None, logprobs: Json | None) -> Json:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def text_choice(index: int, text: str, finish: str | None, logprobs: Json | None) -> Json:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def chat_logprobs(scored: Sequence[Scored], spell: Spell) -> Json:
    """Chat's form: a list of tokens, each with its alternatives."""

    def entry(token: int, logprob: float) -> Json:
        text = spell(token)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return {
        "content": [
            entry(one.token, one.logprob or 0.0) | {"top_logprobs": [entry(token, logp) for token, logp in one.top]}
            for one in scored
        ],
        "refusal": None,
    }


def text_logprobs(scored: Sequence[Scored], spell: Spell, offset: int = 0) -> Json:
    """Completions' form: parallel lists, and where each token begins in the text. The first of a text has null."""
    tokens = [spell(one.token) for one in scored]
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    return {
        "tokens": tokens,
        "token_logprobs": [one.logprob for one in scored],
        "top_logprobs": [
            None
            if one.logprob is None
            else {spell(token): logp for token, logp in (*reversed(one.top), (one.token, one.logprob))}
            for one in scored
        ],
        "text_offset": offsets,
    }


def model_card(name: str, root: str, parent: str | None, created: int, window: int) -> Json:
    """An entry of /v1/models, with vLLM's `root` (the folder) and `parent` (the base of an adapter)."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "luthier",
        "root": root,
        "parent": parent,
        "max_model_len": window,
    }


def embeddings(vectors_ND: NDArray[np.float32], model: str, tokens: int, encoding: str) -> Json:
    def written(vector_D: NDArray[np.float32]) -> Any:
        if encoding == "base64":
            return base64.b64encode(vector_D.astype("<f4").tobytes()).decode()
        return vector_D.tolist()

    data = [{"object": "embedding", "index": n, "embedding": written(one)} for n, one in enumerate(vectors_ND)]
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def event(data: Json) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


DONE = "data: [DONE]\n\n"
