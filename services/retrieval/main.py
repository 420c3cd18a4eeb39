"""Wiring of the retrieval process: store, ledger, fallback lists, HTTP. Nothing else here constructs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from fastapi import FastAPI

from services.gateways.candidate_store.in_redis import RedisCandidateStore
from services.gateways.fallback.on_disk import DiskFallbackLists
from services.gateways.hidden_items.hidden_now import HiddenNow
from services.gateways.hidden_items.in_redis import RedisHiddenItems
from services.gateways.hidden_items.on_disk import DiskHiddenSet
from services.gateways.redis_link import RedisTimes
from services.gateways.redis_link.link_metrics import LinkMetrics
from services.gateways.trigger_ledger.in_redis import RedisTriggerLedger
from services.retrieval.api import HIDDEN_PATH, Limits, create_api
from services.retrieval.hide_items import HideItems
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
# No page waits for it, and to hide ten thousand items at once takes the server longer than a page may.
HIDDEN_ANSWER_S = 1.0


def create(settings: RetrievalSettings) -> FastAPI:
    """The app; it connects when it is first used.  Raises BadBundle (no popular lists) and BadKeyFile."""
    clock, registry = SystemClock(), new_registry()
    fallback = DiskFallbackLists.read(settings.bundle)
    watch, timeout_s = LinkMetrics(registry), settings.store_timeout_ms / 1000
    times = RedisTimes(connect_s=timeout_s, answer_s=timeout_s, free_connection_s=timeout_s)
    store = RedisCandidateStore.connect(settings.redis_url, times=times, watch=watch)
    hidden_store = RedisHiddenItems.connect(
        settings.redis_url, times=replace(times, answer_s=HIDDEN_ANSWER_S), watch=watch
    )
    ledger = RedisTriggerLedger.connect(settings.redis_url, times=times, watch=watch)
    kept = None if settings.hidden_file is None else DiskHiddenSet(settings.hidden_file)
    hidden = HiddenNow(hidden_store, clock, kept)
    hidden.recall()

    async def store_ping() -> None:
        await store.ping()
        if hidden.looked_s is None:
            await hidden.look()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with hidden.followed():
            yield
        for part in (store, hidden_store, ledger):
            await part.close()

    return create_api(
        ServeCandidates(store, ledger, fallback, hidden, clock, fallback.manifest.model_version),
        HideItems(hidden_store, hidden),
        clock=clock,
        limits=Limits(settings.max_age_s, settings.at_once, settings.waiters),
        store_ping=store_ping,
        registry=registry,
        door=Door.of(access_by(settings.api_keys_file), Scope.RETRIEVE, {HIDDEN_PATH: Scope.ADMIN}),
        lifespan=lifespan,
    )


def main() -> None:
    """Read the environment and the popular lists, serve until told to stop."""
    settings = read_settings(RetrievalSettings)
    configure_logging(NAME, settings.log_level)
    with one_line_errors(NAME):
        app = create(settings)
    run_app(app, settings.host, settings.port, name=NAME, drain_s=settings.drain_s)
