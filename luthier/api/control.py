"""Routes of our own, under /luthier/v1: health, traces, feedback, lineage. OpenAI's objects stay as OpenAI has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from luthier import __version__
from luthier.access import Principal, may_read, require
from luthier.errors import BadConfig, Forbidden
from luthier.feedback import reviews
from luthier.gateway.app import body_of, guarded
from luthier.gateway.desk import Desk
from luthier.records.serving import Trace
from luthier.workflows.lineage import why
from luthier.workflows.session import Session

FIELDS = ("answer", "rating", "comment", "correction")


def routes(session: Session, desk: Desk) -> list[Route]:
    """Health for anybody, the rest for who holds a key."""

    def behind_key(path: str, endpoint: Callable[..., Response], method: str) -> Route:
        async def handle(request: Request, caller: Principal) -> Response:
            body = await body_of(request)
            return await anyio.to_thread.run_sync(partial(endpoint, session, desk, request, body, caller))

        return Route(path, guarded(desk, handle, right=None), methods=[method])

    return [
        Route("/health", health, methods=["GET"]),
        behind_key("/luthier/v1/traces/{trace}", read_trace, "GET"),
        behind_key("/luthier/v1/why/{trace}", read_why, "GET"),
        behind_key("/luthier/v1/feedback", give_feedback, "POST"),
    ]


async def health(_: Request) -> Response:
    """GET /health: up, and of which version."""
    return JSONResponse({"status": "ok", "version": __version__})


def read_trace(session: Session, _desk: Desk, request: Request, _body: bytes, caller: Principal) -> Response:
    """GET /luthier/v1/traces/ID: the trace of an answer, for its caller and for who may read.

    What the policy kept back from a caller is kept back here too.
    """
    trace = visible_trace(session, request.path_params["trace"], caller)
    if "read" not in caller.rights:
        trace = trace.model_copy(update={"draft": ""})
    return JSONResponse(trace.model_dump(mode="json"))


def read_why(session: Session, _desk: Desk, request: Request, _body: bytes, caller: Principal) -> Response:
    """GET /luthier/v1/why/ID: every record behind an answer."""
    require(caller, "read")
    found = why(session, visible_trace(session, request.path_params["trace"], caller).id)
    steps = [{"role": s.role, "id": s.id, "depth": s.depth, "record": s.record.body()} for s in found.steps]
    return JSONResponse({"trace": found.trace.model_dump(mode="json"), "chain": steps})


def give_feedback(session: Session, desk: Desk, _request: Request, body: bytes, caller: Principal) -> Response:
    """POST /luthier/v1/feedback {answer, rating?, comment?, correction?}: what a caller thinks of their answer."""
    require(caller, "chat")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadConfig(f"the body is not JSON ({error})", 'send {"answer": "chatcmpl-…", "rating": "down"}') from error
    unknown = [name for name in given if name not in FIELDS] if isinstance(given, dict) else ["body"]
    if unknown or not isinstance(given.get("answer"), str):
        raise BadConfig("this is not feedback on an answer", f"send an object with the fields {', '.join(FIELDS)}")
    if given.get("rating") not in (None, "up", "down"):
        raise BadConfig("this rating is not known", 'send "up", "down" or none')
    trace = visible_trace(session, given["answer"], caller)
    item = reviews.give(
        session.workspace,
        trace.id,
        rating=given.get("rating"),
        comment=str(given.get("comment") or ""),
        correction=str(given.get("correction") or ""),
        by=caller.name,
        scrub=desk.scrubber.dialogue,
    )
    return JSONResponse({"review": item.id, "reason": item.reason}, status_code=201)


def visible_trace(session: Session, trace_id: str, caller: Principal) -> Trace:
    """The trace, for the caller that it belongs to and for who may read. Raises Forbidden, UnknownName."""
    trace = session.workspace.traces.get(trace_id)
    if trace.caller != caller.name and "read" not in caller.rights:
        raise Forbidden(f"{trace_id} belongs to another caller", "use the key that asked, or one that may read")
    if not all(may_read(caller.audience, passage.audience) for passage in trace.passages):
        raise Forbidden(f"{trace_id} quotes documents for staff", "use a key of the audience staff")
    return trace
