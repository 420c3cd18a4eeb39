"""Wiring of the history process: stream, history store, an admin face. Nothing else here constructs."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import SystemRandom

from fastapi import FastAPI

from contracts.errors import BadRequest
from contracts.messages import Topic
from services.gateways.event_stream.chosen import open_stream
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.history.in_redis import RedisHistoryStore
from services.history.consumer import GROUP, ConsumeInteractions
from services.history.metrics import HistoryMetrics
from services.history.remember_interactions import RememberInteractions
from services.history.settings import HistorySettings
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

NAME = "history"


def create(settings: HistorySettings) -> FastAPI:
    """The app; its lifespan consumes.

    Raises BadRequest for settings that make no sense together, and BadKeyFile.
    """
    registry = new_registry()
    door = Door.of(access_by(settings.api_keys_file), Scope.ADMIN)
    stream = open_stream(settings, SystemClock(), limits=_limits(settings))
    histories = RedisHistoryStore.connect(
        settings.redis_url, keep=settings.keep, drop_block=settings.drop_block, ttl_s=settings.ttl_s
    )
    effect = ConsumeInteractions(RememberInteractions(histories), HistoryMetrics(registry))
    watch = Watch(Topic.INTERACTIONS, GROUP, ConsumeMetrics(registry), SystemClock())

    async def loop(stop: asyncio.Event) -> None:
        consumer = stream.consumer(Topic.INTERACTIONS, GROUP, f"{socket.gethostname()}-{os.getpid()}")
        await consume(
            consumer,
            effect,
            concurrency=settings.concurrency,
            max_attempts=settings.max_attempts,
            stop=stop,
            random=SystemRandom(),
            watch=watch,
        )
        await consumer.close()

    beside = ConsumeBeside(loop)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with beside.running():
            yield
        await stream.close()
        await histories.close()

    async def ready() -> None:
        beside.check()
        await stream.ping()
        await histories.ping()

    return create_app("RankGR history", ready=ready, metrics=registry, door=door, lifespan=lifespan)


def _limits(settings: HistorySettings) -> StreamLimits:
    try:
        return StreamLimits(retry_after_s=settings.retry_after_s, retry_delay_s=settings.retry_delay_s)
    except ValueError as error:
        raise BadRequest(f"RANKGR_HISTORY_RETRY_DELAY_S: {error}") from error


def main() -> None:
    """Read the environment, consume until told to stop."""
    settings = read_settings(HistorySettings)
    configure_logging(NAME, settings.log_level)
    with one_line_errors(NAME):
        app = create(settings)
    run_app(app, settings.host, settings.port, name=NAME, drain_s=settings.drain_s)
