"""Wiring of the retrieval process: store, ledger, fallback lists, HTTP. Nothing else here constructs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.gateways.candidate_store.in_redis import RedisCandidateStore
from services.gateways.fallback.on_disk import DiskFallbackLists
from services.gateways.trigger_ledger.in_redis import RedisTriggerLedger
from services.retrieval.api import create_api
from services.retrieval.serve_candidates import ServeCandidates
from services.retrieval.settings import RetrievalSettings
from services.runtime.auth import Scope
from services.runtime.clock import SystemClock
from services.runtime.gate import Door
from services.runtime.key_file import access_by
from services.runtime.lifecycle import one_line_errors, run_app
from services.runtime.settings import read_settings
from services.runtime.telemetry import configure_logging, new_registry

NAME = "retrieval"


def create(settings: RetrievalSettings) -> FastAPI:
    """The app; it connects when it is first used.  Raises BadBundle (no popular lists) and BadKeyFile."""
    clock = SystemClock()
    fallback = DiskFallbackLists.read(settings.bundle)
    store = RedisCandidateStore.connect(settings.redis_url)
    ledger = RedisTriggerLedger.connect(settings.redis_url)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await store.close()
        await ledger.close()

    return create_api(
        ServeCandidates(store, ledger, fallback, clock),
        clock=clock,
        max_age_s=settings.max_age_s,
        store_ping=store.ping,
        registry=new_registry(),
        door=Door.of(access_by(settings.api_keys_file), Scope.RETRIEVE),
        lifespan=lifespan,
    )


def main() -> None:
    """Read the environment and the popular lists, serve until told to stop."""
    settings = read_settings(RetrievalSettings)
    configure_logging(NAME, settings.log_level)
    with one_line_errors(NAME):
        app = create(settings)
    run_app(app, settings.host, settings.port, name=NAME)
