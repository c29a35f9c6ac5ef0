"""The routes: the part of vLLM's HTTP API that Luthier uses. Knows HTTP and the engine's face, nothing of tensors."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from luthier import __version__
from luthier.engine import replies
from luthier.engine.answers import Exchange, events, whole
from luthier.engine.asked import (
    BadRequest,
    Body,
    EmbeddingBody,
    LoadBody,
    TokenizeBody,
    UnloadBody,
    parse,
)
from luthier.engine.engine import Engine, unstamped
from luthier.errors import LuthierError, RunFailed

MOST_BYTES = 16 * 1024 * 1024
TEXTS_AT_ONCE = 32  # a long list of texts to embed lets others in between
OPEN = ("/health", "/metrics", "/version")

P = ParamSpec("P")
T = TypeVar("T")


def app(engine: Engine, key: str = "") -> Starlette:
    """The ASGI application. With a `key`, everything but the probes asks for it."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        engine.scheduler.start()
        yield
        await run_in_threadpool(engine.scheduler.stop)

    routes = Routes(engine)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", routes.chat, methods=["POST"]),
            Route("/v1/completions", routes.complete, methods=["POST"]),
            Route("/v1/embeddings", routes.embed, methods=["POST"]),
            Route("/v1/models", routes.models),
            Route("/v1/models/{name:path}", routes.model),
            Route("/v1/load_lora_adapter", routes.load, methods=["POST"]),
            Route("/v1/unload_lora_adapter", routes.unload, methods=["POST"]),
            Route("/tokenize", routes.tokenize, methods=["POST"]),
            Route("/health", routes.health),
            Route("/metrics", routes.metrics),
            Route("/version", routes.version),
        ],
        middleware=[Middleware(NeedsKey, key=key)] if key else [],
        exception_handlers={LuthierError: refuse, HTTPException: refuse_http, Exception: admit},
        lifespan=lifespan,
    )


class Routes:
    """One method a route."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def chat(self, request: Request) -> Response:
        return await self.generate(request, chat=True)

    async def complete(self, request: Request) -> Response:
        return await self.generate(request, chat=False)

    async def generate(self, request: Request, *, chat: bool) -> Response:
        body = parse(Body, await read(request))
        self.engine.adapter(body.model)
        prompts = await run_in_threadpool(self.engine.render, body, chat=chat)
        exchange = Exchange(self.engine, body, prompts, chat=chat)
        exchange.start()
        if body.stream:
            return StreamingResponse(
                events(exchange), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
            )
        return JSONResponse(await whole(exchange, request))

    async def embed(self, request: Request) -> Response:
        body = parse(EmbeddingBody, await read(request))
        embedder = self.engine.need_embedder()
        texts = [body.input] if isinstance(body.input, str) else body.input
        if body.dimensions not in (None, embedder.width):
            raise BadRequest(f"vectors have {embedder.width} dimensions", "leave dimensions out", param="dimensions")
        vectors = [np.zeros((0, embedder.width), dtype=np.float32)]
        tokens = 0
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            few = texts[start : start + TEXTS_AT_ONCE]
            vectors.append(await self.errand(embedder, few))
            tokens += sum(len(ids) for ids in embedder.tokenizer(few)["input_ids"])
        name = body.model or self.engine.embedder_name
        return JSONResponse(replies.embeddings(np.concatenate(vectors), name, tokens, body.encoding_format))

    async def errand(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Have something computed by the scheduler's thread, and wait for it."""
        return await asyncio.wrap_future(self.engine.scheduler.errand(partial(work, *args, **kwargs)))

    async def models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": self.engine.models()})

    async def model(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = [card for card in self.engine.models() if card["id"] == name]
        if not found:
            self.engine.adapter(name)
        return JSONResponse(found[0])

    async def load(self, request: Request) -> Response:
        body = parse(LoadBody, await read(request))
        made = await self.errand(
            self.engine.load_adapter, body.lora_name, Path(body.lora_path), replace=body.load_inplace
        )
        note = "" if made.stamped else f" Note: {unstamped(made)}."
        return PlainTextResponse(f"Success: LoRA adapter '{made.name}' added successfully.{note}")

    async def unload(self, request: Request) -> Response:
        body = parse(UnloadBody, await read(request))
        self.engine.unload_adapter(body.lora_name)
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")

    async def tokenize(self, request: Request) -> Response:
        body = parse(TokenizeBody, await read(request))
        given = Body(prompt=body.prompt) if body.prompt is not None else Body(messages=body.messages)
        ids = (await run_in_threadpool(self.engine.render, given, chat=body.prompt is None))[0]
        return JSONResponse({"count": len(ids), "max_model_len": self.engine.model.window, "tokens": ids})

    async def health(self, _: Request) -> Response:
        alive = self.engine.scheduler.alive
        return JSONResponse({"status": "ok" if alive else "stopped"}, 200 if alive else 503)

    async def metrics(self, _: Request) -> Response:
        return PlainTextResponse(self.engine.exposition(), media_type="text/plain; version=0.0.4")

    async def version(self, _: Request) -> Response:
        return JSONResponse({"version": __version__})


async def read(request: Request) -> Any:
    """The JSON body. Raises BadRequest where it is none, or too large."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BYTES:
            raise BadRequest(f"the body is larger than {MOST_BYTES >> 20} MiB", "send less at once")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON ({error})", "send a JSON object in UTF-8") from error


async def refuse(_: Request, error: Exception) -> Response:
    """A LuthierError in OpenAI's shape."""
    assert isinstance(error, LuthierError)
    headers = {"Retry-After": "1"} if error.http_status in (409, 503) else None
    return JSONResponse(replies.error(error), error.http_status, headers)


async def refuse_http(_: Request, error: Exception) -> Response:
    """What starlette refuses (no such route, wrong method) in the same shape."""
    assert isinstance(error, HTTPException)
    problem = BadRequest(error.detail, "see the list of routes in the documentation")
    return JSONResponse(replies.error(problem), error.status_code, error.headers)


async def admit(_: Request, __: Exception) -> Response:
    """A bug of ours: starlette logs it, and the caller gets JSON all the same."""
    return JSONResponse(replies.error(RunFailed("the engine made a mistake", "see its log")), 500)


class NeedsKey:
    """Middleware: without the key, nothing but the probes."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app, self.wanted = app, f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] != "http" or scope["path"] in OPEN or hmac.compare_digest(given, self.wanted):
            await self.app(scope, receive, send)
            return
        problem = BadRequest("the API key is missing or wrong", "send Authorization: Bearer …", code="invalid_api_key")
        await JSONResponse(replies.error(problem), HTTPStatus.UNAUTHORIZED)(scope, receive, send)
