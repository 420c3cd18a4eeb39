"""Wiring of the retrieval process: store, ledger, fallback lists, HTTP. Nothing else here constructs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from contracts.manifest import POPULAR_FILE
from services.bundles.follow_metrics import FollowMetrics
from services.bundles.opened import open_bundles
from services.gateways.bundle_store.port import Channel
from services.gateways.candidate_store.in_redis import RedisCandidateStore
from services.gateways.fallback.on_disk import DiskFallbackLists
from services.gateways.fallback.swapped import SwappedFallbackLists
from services.gateways.hidden_items.hidden_now import HiddenNow
from services.gateways.hidden_items.in_redis import RedisHiddenItems
from services.gateways.hidden_items.on_disk import DiskHiddenSet
from services.gateways.redis_link import RedisTimes
from services.gateways.redis_link.link_metrics import LinkMetrics
from services.gateways.trigger_ledger.in_redis import RedisTriggerLedger
from services.retrieval.api import HIDDEN_PATH, Limits, create_api
from services.retrieval.hide_items import HideItems
from services.retrieval.old_lists import OldLists
from services.retrieval.serve_candidates import ServeCandidates
from services.retrieval.settings import RetrievalSettings
from services.runtime.auth import Scope
from services.runtime.clock import Clock, SystemClock
from services.runtime.gate import Door
from services.runtime.key_file import access_by
from services.runtime.lifecycle import one_line_errors, run_app
from services.runtime.settings import read_settings
from services.runtime.telemetry import configure_logging, new_registry

NAME = "retrieval"
# No page waits for it, and to hide ten thousand items at once takes the server longer than a page may.
HIDDEN_ANSWER_S = 1.0


class _Bundles:
    """Of each bundle its popular lists, and which models' lists may be shown."""

    def __init__(self, settings: RetrievalSettings, registry: CollectorRegistry, clock: Clock) -> None:
        place = f"{NAME}-{settings.port}"
        self._clock, self._metrics = clock, FollowMetrics(registry)
        self.old_lists = OldLists(clock, math.inf if settings.old_lists_s is None else settings.old_lists_s)
        latest = open_bundles(settings, place, Channel.LATEST, {POPULAR_FILE})
        canary = open_bundles(settings, f"{place}-canary", Channel.CANARY, {POPULAR_FILE})
        first = latest.first(DiskFallbackLists.read)
        self.fallback = SwappedFallbackLists(first)
        self._serve(first)
        self._opened = (latest, canary)
        self._following = latest.following(self._use, first.manifest, self._metrics)
        self._first = canary.following(self._know, first.manifest, None)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Look for new bundles inside the block."""
        async with self._following.followed(), self._first.followed():
            yield
        for opened in self._opened:
            opened.close()

    async def _use(self, directory: Path) -> None:
        self._serve(await asyncio.to_thread(DiskFallbackLists.read, directory))

    async def _know(self, directory: Path) -> None:
        found = (await asyncio.to_thread(DiskFallbackLists.read, directory)).manifest
        self.old_lists.serves(Channel.CANARY, found.model_version, found.catalog_version)

    def _serve(self, lists: DiskFallbackLists) -> None:
        self.fallback.now = lists
        self.old_lists.serves(Channel.LATEST, lists.manifest.model_version, lists.manifest.catalog_version)
        self._metrics.serves(lists.manifest, self._clock)


def create(settings: RetrievalSettings) -> FastAPI:
    """The app; it connects when it is first used.

    Raises BadBundle (no popular lists), NoSuchBundle, BundleStoreDown and BadKeyFile.
    """
    clock, registry = SystemClock(), new_registry()
    bundles = _Bundles(settings, registry, clock)
    fallback = bundles.fallback
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
        async with hidden.followed(), bundles.followed():
            yield
        for part in (store, hidden_store, ledger):
            await part.close()

    return create_api(
        ServeCandidates(store, ledger, fallback, hidden, clock, bundles.old_lists.may_serve),
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
