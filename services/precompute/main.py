"""Wiring of the precompute process: stream, stores, prompts, engine.  The only file here that constructs."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from fastapi import FastAPI

from contracts.errors import BadRequest
from contracts.messages import Topic
from model.bundle.prompt_side import PROMPT_FILES, PromptSide, read_prompt_side
from services.bundles.follow_metrics import FollowMetrics
from services.bundles.opened import open_bundles
from services.gateways.bundle_store.port import Channel
from services.gateways.candidate_store.in_redis import RedisCandidateStore
from services.gateways.event_stream.chosen import open_stream
from services.gateways.event_stream.counted import CountedPublisher, PublishMetrics
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import EventPublisher, EventStream
from services.gateways.hidden_items.hidden_now import HiddenNow
from services.gateways.hidden_items.in_redis import RedisHiddenItems
from services.gateways.history.in_redis import RedisHistoryStore
from services.gateways.inference.over_http import HttpInferenceEngine
from services.gateways.inference.port import InferenceEngine
from services.gateways.inference.replicas import ReplicatedInferenceEngine
from services.gateways.inference.reworded import RewordedInferenceEngine
from services.gateways.redis_link.link_metrics import LinkMetrics
from services.gateways.redis_link.mux_node import LinkWatch
from services.gateways.trigger_ledger.in_redis import RedisTriggerLedger
from services.precompute.consumer import GROUP, ConsumeTriggers
from services.precompute.metrics import PrecomputeMetrics
from services.precompute.places import Places
from services.precompute.precompute_candidates import Limits, PrecomputeCandidates
from services.precompute.settings import PrecomputeSettings
from services.precompute.wording import Wordings, wording_of
from services.runtime.auth import Scope
from services.runtime.clock import SystemClock
from services.runtime.consume import ConsumeMetrics, Watch, consume
from services.runtime.consume_beside import ConsumeBeside
from services.runtime.gate import Door
from services.runtime.http import create_app
from services.runtime.key_file import access_by
from services.runtime.lifecycle import one_line_errors, run_app
from services.runtime.settings import read_settings
from services.runtime.telemetry import configure_logging, new_registry
from services.runtime.trace_export import open_traces
from services.runtime.tracing import Traces

NAME = "precompute"


@dataclass(frozen=True, slots=True)
class _Outside:
    """The systems that precompute talks to."""

    stream: EventStream
    store: RedisCandidateStore
    histories: RedisHistoryStore
    ledger: RedisTriggerLedger
    hidden: HiddenNow
    engine: InferenceEngine

    async def ready(self) -> None:
        """Raise what stands in the way of computing; without the ledger only coalescing is worse."""
        for part in (self.stream, self.store, self.histories, self.engine):
            await part.ping()

    async def close(self) -> None:
        """Free the connections."""
        for part in (self.stream, self.store, self.histories, self.ledger, self.hidden.store, self.engine):
            await part.close()


def create(
    settings: PrecomputeSettings, *, side: PromptSide | None = None, engine: InferenceEngine | None = None
) -> FastAPI:
    """The app; its lifespan consumes.  Without an engine, those at `engine_url` are asked.

    Raises BadBundle, BadKeyFile, and BadRequest for settings that make no sense together.
    """
    registry = new_registry()
    door = Door.of(access_by(settings.api_keys_file), Scope.ADMIN)
    place = f"{NAME}-{settings.port}"
    bundles = open_bundles(settings, place, Channel.LATEST, PROMPT_FILES)
    # Those who go first are asked in their own words, before everybody has them.
    canaries = open_bundles(settings, f"{place}-canary", Channel.CANARY, PROMPT_FILES)
    side = side or bundles.first(_read_prompt_side)
    metrics, follow = PrecomputeMetrics(registry), FollowMetrics(registry)
    engine = _engines(settings, metrics) if engine is None else RewordedInferenceEngine(engine)
    outside = _connect(settings, engine, LinkMetrics(registry))
    watch = Watch(Topic.TRIGGERS, GROUP, ConsumeMetrics(registry), SystemClock())
    traces = open_traces(settings, NAME)
    publisher = CountedPublisher(outside.stream, PublishMetrics(registry))
    wordings = Wordings(wording_of(side, lambda: outside.hidden.now.items))
    follow.serves(side.manifest, SystemClock())
    places = Places(settings.concurrency, settings.waiting, settings.longest_wait_s, metrics.note_waiting)
    effect = ConsumeTriggers(_verb(settings, wordings, outside, publisher, traces, places), metrics)
    beside = ConsumeBeside(lambda stop: _consume(settings, outside.stream, effect, watch, stop))

    async def use(directory: Path) -> None:
        new = await asyncio.to_thread(_read_prompt_side, directory)
        wordings.use(wording_of(new, lambda: outside.hidden.now.items))
        follow.serves(new.manifest, SystemClock())

    async def know(directory: Path) -> None:
        new = await asyncio.to_thread(_read_prompt_side, directory)
        if wordings.of(new.manifest.catalog_version) is None:
            wordings.add(wording_of(new, lambda: outside.hidden.now.items))

    following = bundles.following(use, side.manifest, follow)
    first = canaries.following(know, side.manifest, None)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with beside.running(), outside.hidden.followed(), following.followed(), first.followed():
            yield
        await outside.close()
        for opened in (bundles, canaries):
            opened.close()
        traces.close()

    async def ready() -> None:
        beside.check()
        await outside.ready()

    return create_app("RankGR precompute", ready=ready, metrics=registry, door=door, lifespan=lifespan)


async def _consume(
    settings: PrecomputeSettings,
    stream: EventStream,
    effect: ConsumeTriggers,
    watch: Watch,
    stop: asyncio.Event,
) -> None:
    consumer = stream.consumer(Topic.TRIGGERS, GROUP, f"{socket.gethostname()}-{os.getpid()}")
    async with effect.precompute.places.open_until(stop):
        await consume(
            consumer,
            effect,
            concurrency=settings.held,
            max_attempts=settings.max_attempts,
            stop=stop,
            random=SystemRandom(),
            watch=watch,
        )
    await consumer.close()


def _read_prompt_side(directory: Path) -> PromptSide:
    return read_prompt_side(directory, whole=False)


def _engines(settings: PrecomputeSettings, metrics: PrecomputeMetrics) -> InferenceEngine:
    replicas = {
        url: RewordedInferenceEngine(HttpInferenceEngine.connect(url, headers=settings.key_header))
        for url in settings.engine_urls
    }
    return ReplicatedInferenceEngine(replicas, SystemClock(), metrics.note_call)


def _connect(settings: PrecomputeSettings, engine: InferenceEngine, watch: LinkWatch) -> _Outside:
    try:
        limits = StreamLimits(retry_after_s=settings.retry_after_s, retry_delay_s=settings.retry_delay_s)
    except ValueError as error:
        raise BadRequest(f"RANKGR_PRECOMPUTE_RETRY_DELAY_S: {error}") from error
    return _Outside(
        stream=open_stream(settings, SystemClock(), limits=limits),
        store=RedisCandidateStore.connect(
            settings.redis_url, ttl_s=settings.ttl_s, previous_ttl_s=settings.previous_ttl_s, watch=watch
        ),
        histories=RedisHistoryStore.connect(
            settings.redis_url,
            keep=settings.history_keep,
            drop_block=settings.history_drop_block,
            ttl_s=settings.history_ttl_s,
        ),
        ledger=RedisTriggerLedger.connect(settings.redis_url, watch=watch),
        hidden=HiddenNow(RedisHiddenItems.connect(settings.redis_url, watch=watch), SystemClock()),
        engine=engine,
    )


def _verb(
    settings: PrecomputeSettings,
    wordings: Wordings,
    outside: _Outside,
    publisher: EventPublisher,
    traces: Traces,
    places: Places,
) -> PrecomputeCandidates:
    return PrecomputeCandidates(
        histories=outside.histories,
        ledger=outside.ledger,
        engine=outside.engine,
        store=outside.store,
        stream=publisher,
        clock=SystemClock(),
        traces=traces,
        wordings=wordings,
        places=places,
        limits=Limits(
            max_age_ms=round(settings.max_age_s * 1000),
            deadline_ms=settings.engine_deadline_ms,
            max_items=settings.max_items,
            exclude_purchased=settings.exclude_purchased,
        ),
    )


def main() -> None:
    """Read the environment, read the bundle, consume until told to stop."""
    settings = read_settings(PrecomputeSettings)
    configure_logging(NAME, settings.log_level)
    with one_line_errors(NAME):
        app = create(settings)
    run_app(app, settings.host, settings.port, name=NAME, drain_s=settings.drain_s)
