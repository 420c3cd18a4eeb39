"""The check of API keys in front of an app's routes; `create_app` puts it around every app.

`/healthz` and `/readyz` stand open, `/metrics` takes the scope metrics or admin, the description of the API any key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from contracts.errors import NotAllowed
from services.runtime.auth import ANY_SCOPE, Access, Scope
from services.runtime.http_errors import answer_of

OPEN = frozenset({"/healthz", "/readyz"})
CALLER = "rankgr_caller"
"""Under this name the id of the caller's key stands in the ASGI scope."""

_SHARED: Mapping[str, frozenset[Scope]] = {
    "/metrics": frozenset({Scope.METRICS, Scope.ADMIN}),
    "/docs": ANY_SCOPE,
    "/openapi.json": ANY_SCOPE,
}


@dataclass(frozen=True, slots=True)
class Door:
    """Who may ask one process for what: a path named in `paths` needs one of those scopes, any other one of `scopes`.

    Paths that no route takes need a key too: they tell strangers nothing.  `open`: paths that need none, as a page that
    asks for the key.
    """

    access: Access
    scopes: frozenset[Scope]
    paths: Mapping[str, frozenset[Scope]]
    open: frozenset[str] = OPEN

    @classmethod
    def of(cls, access: Access, scope: Scope, paths: Mapping[str, Scope] | None = None) -> Door:
        """One scope for a process, and others for some of its paths."""
        own = {path: frozenset({other}) for path, other in (paths or {}).items()}
        return cls(access, frozenset({scope}), {**_SHARED, **own})


class Gate:
    """ASGI middleware: 401 without a valid key, 403 where it lacks the scope."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Pass the request on if it may."""
        if scope["type"] == "http" and scope["path"] not in self._door.open:
            wanted = self._door.paths.get(scope["path"], self._door.scopes)
            try:
                scope[CALLER] = self._door.access.admit(scope["headers"], wanted)
            except NotAllowed as error:
                await answer_of(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
