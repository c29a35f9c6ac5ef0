"""What went wrong → an HTTP answer in OpenAI's shape. Knows nothing of requests or policies."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from luthier.errors import BadConfig, LuthierError, Unavailable, UnknownName

RETRY_SECONDS = 5
"""After which a caller may try again when the engine is away."""


class BadRequest(BadConfig):
    """A request that cannot be answered as it stands; `param` names the field that is wrong."""

    def __init__(self, what: str, mend: str = "", param: str = "") -> None:
        super().__init__(what, mend)
        self.param = param


class TooLarge(BadRequest):
    http_status = 413


class TooSlow(Unavailable):
    """The answer was not there when its deadline passed."""

    http_status = 504


def failure(error: LuthierError) -> JSONResponse:
    """The HTTP answer that says what `error` says."""
    headers = {"retry-after": str(RETRY_SECONDS)} if error.http_status == 503 else {}
    return shaped(error.http_status, str(error), _param(error), _code(error), headers)


def shaped(
    status: int, message: str, param: str = "", code: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error object of OpenAI with that HTTP status."""
    return JSONResponse(body(status, message, param, code), status_code=status, headers=dict(headers or {}))


def body(status: int, message: str, param: str = "", code: str = "") -> dict[str, object]:
    """OpenAI's error object."""
    kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(status)
    kind = kind or ("invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param or None, "code": code or None}}


def body_of(error: LuthierError) -> dict[str, object]:
    """OpenAI's error object for `error`: what a stream ends with once its status has been sent."""
    return body(error.http_status, str(error), _param(error), _code(error))


def unknown_key() -> JSONResponse:
    """401."""
    message = "this needs a valid key: send the header 'Authorization: Bearer sk-luthier-...'"
    return shaped(401, message, code="invalid_api_key", headers={"www-authenticate": "Bearer"})


def too_many(limit: int) -> JSONResponse:
    """429."""
    message = f"this key has {limit} requests under way already: wait for one of them to end"
    return shaped(429, message, code="rate_limit_exceeded", headers={"retry-after": "1"})


def _param(error: LuthierError) -> str:
    return "model" if isinstance(error, UnknownName) else str(getattr(error, "param", ""))


def _code(error: LuthierError) -> str:
    codes: dict[type[LuthierError], str] = {UnknownName: "model_not_found", TooSlow: "timeout"}
    return codes.get(type(error), "")
