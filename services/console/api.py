"""The console over HTTP: its page, and what the page asks.  Built by `main`."""

from __future__ import annotations

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.console.neighbours import Neighbours
from services.console.page_files import add_page, page_files
from services.console.request_routes import RequestParts, add_request_routes
from services.console.system_routes import SystemParts, add_system_routes
from services.runtime.auth import ANY_SCOPE, Access, Scope
from services.runtime.gate import OPEN, Door
from services.runtime.http import Lifespan, create_app

_READS = frozenset({Scope.METRICS, Scope.ADMIN})
_SCOPES: dict[str, frozenset[Scope]] = {
    "/api/session": ANY_SCOPE,
    "/api/triggers": frozenset({Scope.TRIGGER}),
    "/api/interactions": frozenset({Scope.TRIGGER}),
    "/api/history": frozenset({Scope.RETRIEVE}),
    "/api/life": frozenset({Scope.RETRIEVE}),
    "/api/system/live": _READS,
    "/api/bundles": _READS,
    "/api/dead-letters": _READS,
    "/api/hidden": _READS,
}
"""What a key needs for each route; any other one needs admin."""


def create_api(
    requests: RequestParts,
    system: SystemParts,
    *,
    access: Access,
    registry: CollectorRegistry,
    lifespan: Lifespan | None = None,
    loopback: bool = True,
) -> FastAPI:
    """The app; it is ready at once: what the others cannot do is for the page to say.

    loopback: it listens where only this machine reaches it.
    """
    served = page_files()
    every = Door.of(access, Scope.ADMIN)
    door = Door(access, every.scopes, {**every.paths, **_SCOPES}, OPEN | {"/api/door", *served})
    app = create_app("RankGR console", ready=_ready, metrics=registry, door=door, lifespan=lifespan)
    add_page(app, served)
    add_request_routes(app, requests)
    add_system_routes(app, system)
    app.add_middleware(Neighbours, loopback_only=loopback and access.keys is None)
    return app


async def _ready() -> None:
    """Always."""
