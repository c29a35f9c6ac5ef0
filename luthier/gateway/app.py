"""The gateway's HTTP routes. Every one of them goes through `guarded`, which recognises the caller first."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route as Path

from luthier.access import Principal, Right, require
from luthier.errors import LuthierError
from luthier.gateway import failures, replies
from luthier.gateway.desk import Desk
from luthier.gateway.exchange import Exchange
from luthier.gateway.pipeline import answer, new_id
from luthier.gateway.requests import MOST_BYTES, Asked, read_request, too_large

Endpoint = Callable[[Request, Principal], Awaitable[Response]]

GRACE = 2.0
"""Seconds after the deadline in which a stage that is done may still say so itself."""
_REQUEST_ID = re.compile(r"[\w.:-]{1,128}")


def routes(desk: Desk) -> list[Path]:
    """Chat completions and the list of models, as OpenAI and as Azure spell their paths."""
    counter = Counter[str]()
    limiter = anyio.CapacityLimiter(desk.threads)
    chat = guarded(desk, partial(chat_completions, desk, counter, limiter))
    listing = guarded(desk, partial(models, desk))
    single = guarded(desk, partial(one_model, desk))
    azure = "/openai/deployments/{model}/chat/completions"
    spelt = [("/v1/chat/completions", chat, "POST"), (azure, chat, "POST"), ("/v1/models", listing, "GET")]
    found = [Path(path + end, endpoint, methods=[method]) for path, endpoint, method in spelt for end in ("", "/")]
    return [*found, Path("/v1/models/{model:path}", single, methods=["GET"])]


def application(desk: Desk) -> Starlette:
    """The gateway alone, as an app: what tests and a gateway without control routes run."""
    return Starlette(routes=routes(desk), exception_handlers=HANDLERS)


def guarded(desk: Desk, endpoint: Endpoint, right: Right | None = "chat") -> Callable[[Request], Awaitable[Response]]:
    """`endpoint` for who holds a key with that `right` (None: any key), with errors in OpenAI's shape and a request id
    on whatever comes out."""

    async def handle(request: Request) -> Response:
        try:
            caller = await anyio.to_thread.run_sync(desk.recognise, secret_of(request))
            if caller is None:
                response: Response = failures.unknown_key()
            else:
                if right:
                    require(caller, right)
                response = await endpoint(request, caller)
        except LuthierError as error:
            response = failures.failure(error)
        given = request.headers.get("x-request-id", "")
        response.headers["x-request-id"] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        return response

    return handle


def secret_of(request: Request) -> str:
    """The key as OpenAI's clients send it (Bearer), or as Azure's do (api-key)."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else request.headers.get("api-key", "")


async def chat_completions(
    desk: Desk, counter: Counter[str], limiter: anyio.CapacityLimiter, request: Request, caller: Principal
) -> Response:
    """POST /v1/chat/completions."""
    asked = read_request(await body_of(request), request.path_params.get("model", ""))
    desk.route(asked.model, caller)
    if counter[caller.name] >= desk.at_once:
        return failures.too_many(desk.at_once)
    exchange_id = new_id()
    counter[caller.name] += 1
    work = asyncio.create_task(_answered(desk, limiter, caller, asked, exchange_id))
    # Here and not in the response: a caller who hangs up must not keep the place taken, nor free it too early.
    work.add_done_callback(lambda _: counter.subtract([caller.name]))
    headers = {"x-luthier-trace": exchange_id}
    if not asked.stream:
        return _whole(await work, headers)
    await asyncio.wait({work}, timeout=desk.waiting)
    if work.done():  # an early failure can still be an HTTP status
        headers |= {"x-luthier-ending": work.result().ending or ""}
    headers |= {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(events(desk, work), media_type="text/event-stream", headers=headers)


async def models(desk: Desk, request: Request, caller: Principal) -> Response:
    """GET /v1/models: what this caller may use."""
    entries = [replies.model(name, route) for name, route in sorted(desk.open_to(caller).items())]
    return JSONResponse({"object": "list", "data": entries})


async def one_model(desk: Desk, request: Request, caller: Principal) -> Response:
    """GET /v1/models/NAME."""
    name = request.path_params["model"]
    return JSONResponse(replies.model(name, desk.route(name, caller)))


async def body_of(request: Request) -> bytes:
    """The whole body. Raises TooLarge as soon as it is, without reading on."""
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > MOST_BYTES:
            raise too_large()
    return bytes(read)


async def events(desk: Desk, work: asyncio.Task[Exchange]) -> AsyncIterator[str]:
    """Signs of life until the answer has its verdict, then the answer: nothing of it goes out before."""
    while not work.done():
        yield replies.WAITING
        await asyncio.wait({work}, timeout=desk.waiting)
    try:
        exchange = work.result()
    except LuthierError as error:
        yield replies.event(failures.body_of(error))
        yield replies.DONE
        return
    for chunk in replies.chunks(exchange):
        yield chunk


async def _answered(
    desk: Desk, limiter: anyio.CapacityLimiter, caller: Principal, asked: Asked, exchange_id: str
) -> Exchange:
    """The answer, worked out in a thread. Raises TooSlow where even waiting for a thread took too long."""
    try:
        with anyio.fail_after(desk.seconds + GRACE):
            return await anyio.to_thread.run_sync(
                answer, desk, caller, asked, exchange_id, abandon_on_cancel=True, limiter=limiter
            )
    except TimeoutError as error:
        raise failures.TooSlow(f"there was no answer within {desk.seconds:g} s", "try again later") from error


def _whole(exchange: Exchange, headers: dict[str, str]) -> Response:
    return JSONResponse(replies.completion(exchange), headers=headers | {"x-luthier-ending": exchange.ending or ""})


async def _http_error(request: Request, error: Exception) -> Response:
    """404 and 405 in OpenAI's shape."""
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    return failures.shaped(error.status_code, f"{where}: {error.detail}", headers=error.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    return failures.shaped(500, "the gateway failed: its log says why")


HANDLERS: Mapping[object, Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: _http_error,
    500: _unexpected,
}
"""What becomes of a path that does not exist, and of a fault of ours: OpenAI's error object."""
