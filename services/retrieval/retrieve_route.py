"""Which requests `GET /retrieve/{user_id}` takes, and how FastAPI describes it: the answering is the hot route's.

Used by `api`.  A router would decode the path first, and a user whose id holds a slash would have no route.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Query
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from contracts.ids import UserIdField
from services.retrieval.answer import RetrieveAnswer
from services.retrieval.formats import Format
from services.retrieval.query import RetrieveQuery
from services.runtime.http_errors import ERROR_RESPONSES

PREFIX = "/retrieve/"
TEMPLATE = "/retrieve/{user_id}"
_RAW_PREFIX = PREFIX.encode()


def segment_of(scope: Scope) -> bytes:
    """The user's path segment, still percent-encoded."""
    return _raw_path(scope)[len(PREFIX) :]


def is_one_segment(scope: Scope) -> bool:
    """Whether nothing but one segment follows the prefix."""
    raw = _raw_path(scope)
    return raw.startswith(_RAW_PREFIX) and raw.find(b"/", len(_RAW_PREFIX)) < 0


def _raw_path(scope: Scope) -> bytes:
    raw: bytes | None = scope.get("raw_path")
    return raw if raw is not None else quote(scope["path"]).encode()


async def _described(user_id: UserIdField, query: Annotated[RetrieveQuery, Query()]) -> RetrieveAnswer:
    """The user's newest candidates, or the scene's popular items; never 404 for a user it does not know."""
    raise NotImplementedError(f"the hot route answers, not this one: {user_id} {query}")


class DescribedRoute(APIRoute):
    """For OpenAPI, and for the 405 of other methods."""

    def __init__(self) -> None:
        bytes_only = {"schema": {"type": "string", "format": "binary"}}
        super().__init__(
            TEMPLATE,
            _described,
            methods=["GET"],
            name="retrieve",
            summary="The best list there is for a user",
            responses={
                **ERROR_RESPONSES,
                200: {"content": {Format.MSGPACK.value: bytes_only, Format.PACKED.value: bytes_only}},
                304: {"description": "The list is the one that If-None-Match names."},
            },
        )

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Partial (405) for other methods, none where the path has more segments."""
        if scope["type"] != "http" or scope["method"] == "GET" or not is_one_segment(scope):
            return Match.NONE, {}
        return Match.PARTIAL, {"endpoint": self.endpoint, "route": self, "path_params": {}}
