"""`GET /retrieve/{user_id}` as a raw ASGI route that FastAPI still describes.

Used by `api`.  The router would decode the path first, and a user whose id holds a slash would have no route.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Query
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import ASGIApp, Scope

from contracts.ids import UserIdField
from services.retrieval.answer import RetrieveAnswer
from services.retrieval.query import RetrieveQuery
from services.runtime.http_errors import ERROR_RESPONSES

PREFIX = b"/retrieve/"
SEGMENT = "user_segment"


async def _described(user_id: UserIdField, query: Annotated[RetrieveQuery, Query()]) -> RetrieveAnswer:
    """The user's newest candidates, or the scene's popular items; never 404 for a user it does not know."""
    raise NotImplementedError(f"the route answers itself, not for {user_id} {query}")


class RetrieveRoute(APIRoute):
    """Matches one percent-encoded segment and hands it, undecoded, to `answer` as path parameter SEGMENT."""

    def __init__(self, answer: ASGIApp) -> None:
        super().__init__(
            "/retrieve/{user_id}",
            _described,
            methods=["GET"],
            name="retrieve",
            summary="The best list there is for a user",
            responses=ERROR_RESPONSES,
        )
        self.app = answer

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Full for GET, partial (405) for other methods, none where the path has more segments."""
        if scope["type"] != "http":
            return Match.NONE, {}
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        if not raw.startswith(PREFIX) or b"/" in raw[len(PREFIX) :]:
            return Match.NONE, {}
        found = {"endpoint": self.endpoint, "route": self, "path_params": {SEGMENT: raw[len(PREFIX) :]}}
        return (Match.FULL if scope["method"] == "GET" else Match.PARTIAL), found
