"""Errors as answers: the one place where a RankGRError becomes a status code.

Every error body is {"error": type name, "detail": one sentence}; no trace and no secret ever enters one.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from contracts.errors import (
    BadInput,
    CursorGone,
    DeadlineExceeded,
    EngineFailed,
    Forbidden,
    Overloaded,
    PointerMoved,
    RankGRError,
    Unauthorized,
    Unavailable,
)

STATUS: dict[type[RankGRError], int] = {
    BadInput: 422,
    Unauthorized: 401,
    Forbidden: 403,
    CursorGone: 410,
    PointerMoved: 409,
    Overloaded: 429,
    Unavailable: 503,
    DeadlineExceeded: 503,
    EngineFailed: 500,
}
"""Status of each branch of the error tree; the nearest ancestor of an error decides."""

RETRY_AFTER_S = 1
LONGEST_DETAIL = 400

_NAMES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "BodyTooLarge",
}


class ErrorBody(BaseModel):
    """What every answer of status 4xx and 5xx holds."""

    error: str = Field(description="The error's type.", examples=["BadRequest"])
    detail: str = Field(description="One sentence for a person.", examples=["limit: must be at least 1"])


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "The request was refused."},
    "5XX": {"model": ErrorBody, "description": "The service cannot answer now."},
}
"""For OpenAPI: every route may answer so."""


class ErrorAnswer(JSONResponse):
    """An error body; ASCII only, since a lone surrogate of the request may be quoted in it."""

    def render(self, content: object) -> bytes:
        """The body as JSON."""
        return json.dumps(content).encode("ascii")


def error_answer(status: int, error: str, detail: str, headers: dict[str, str] | None = None) -> ErrorAnswer:
    """An answer of the common shape; the detail becomes one line of bounded length."""
    sentence = " ".join(detail.split())
    if len(sentence) > LONGEST_DETAIL:
        sentence = sentence[: LONGEST_DETAIL - 3] + "..."
    return ErrorAnswer({"error": error, "detail": sentence}, status, headers)


def status_of(error: RankGRError) -> int:
    """The status of an error's nearest known ancestor."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def answer_of(error: RankGRError) -> ErrorAnswer:
    """The answer to a RankGRError."""
    return error_answer(status_of(error), type(error).__name__, str(error), headers_of(error))


def headers_of(error: RankGRError) -> dict[str, str]:
    """What a client is told beside the sentence: when to come again, or what kind of key is wanted."""
    match error:
        case Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case Overloaded():
            return {"Retry-After": str(max(1, ceil(error.retry_after_s)))}
        case _ if status_of(error) in (429, 503):
            return {"Retry-After": str(RETRY_AFTER_S)}
        case _:
            return {}


def field_path(loc: tuple[int | str, ...]) -> str:
    """`("body", "events", 0, "item_id")` as `events[0].item_id`; the body itself is `body`."""
    parts = loc[1:] if len(loc) > 1 and loc[0] in ("body", "query", "path", "header") else loc
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "body"


def broken_answer() -> ErrorAnswer:
    """500, and no word about why."""
    return error_answer(500, "InternalError", "the service failed on this request; its log says why")


def invalid_answer(error: RequestValidationError) -> ErrorAnswer:
    """422 with the first field that is wrong."""
    if isinstance(error.body, bytes):
        # Left unparsed: a page of another site may send such a body without asking, JSON it may not.
        return error_answer(422, "BadRequest", "body: is read with the header content-type: application/json only")
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = f"not valid JSON at character {first['loc'][-1]}: {first['ctx']['error']}"
        return error_answer(422, "BadRequest", f"body: {reason}")
    reason = first["msg"].removeprefix("Value error, ")
    return error_answer(422, "BadRequest", f"{field_path(first['loc'])}: {reason}")


def speak_errors(app: FastAPI) -> None:
    """Teach an app to answer every error in the common shape."""

    @app.exception_handler(RankGRError)
    async def _known(_request: Request, error: RankGRError) -> Response:
        return answer_of(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        return invalid_answer(error)

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> Response:
        if error.status_code == 400:
            # FastAPI says so where a body cannot be parsed at all; for us wrong input is 422, always.
            return error_answer(422, "BadRequest", "body: not valid JSON: no UTF-8, too deep, or a number too long")
        name = _NAMES.get(error.status_code) or HTTPStatus(error.status_code).phrase.replace(" ", "")
        headers = dict(error.headers) if error.headers else None
        return error_answer(error.status_code, name, str(error.detail), headers)

    @app.exception_handler(Exception)
    async def _unexpected(_request: Request, _error: Exception) -> Response:
        # Starlette raises it again after this answer, and the server logs it with its trace.
        return broken_answer()
