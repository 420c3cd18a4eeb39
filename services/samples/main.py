"""Wiring of the samples process: event stream, the join with its state, an admin face. Nothing else here constructs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import SystemRandom

from fastapi import FastAPI

from contracts.errors import BadRequest, StreamDown
from contracts.messages import Topic
from model.sessions.rules import JoinRules
from model.sessions.session_join import SessionJoin
from model.sessions.watermark import Watermark
from services.gateways.event_stream.chosen import open_stream
from services.gateways.event_stream.limits import StreamLimits
from services.gateways.event_stream.port import EventStream
from services.gateways.join_state.on_disk import DiskJoinState
from services.gateways.join_state.port import JoinState, Kept
from services.runtime.auth import Scope
from services.runtime.clock import SystemClock
from services.runtime.consume_beside import ConsumeBeside
from services.runtime.gate import Door
from services.runtime.http import create_app
from services.runtime.key_file import access_by
from services.runtime.lifecycle import one_line_errors, run_app
from services.runtime.settings import read_settings
from services.runtime.telemetry import configure_logging, new_registry
from services.samples.consumer import SampleTopics
from services.samples.incoming import Share
from services.samples.metrics import SamplesMetrics
from services.samples.sample_sessions import Memory, SampleSessions
from services.samples.settings import SamplesSettings
from services.samples.topic_reading import TopicReading

NAME = "samples"
TOPICS = (Topic.TRIGGERS, Topic.CANDIDATES, Topic.INTERACTIONS)


def create(settings: SamplesSettings, state: JoinState, kept: Kept) -> FastAPI:
    """The app; its lifespan reads, joins and publishes.  `kept`: what the state gave when it was opened.

    Raises BadRequest for settings that make no sense together, BadInput for positions of another stream, BadKeyFile.
    """
    registry, clock = new_registry(), SystemClock()
    door = Door.of(access_by(settings.api_keys_file), Scope.ADMIN)
    # Nobody acknowledges samples: a trainer that is away for long must not fill the server's memory.
    stream = open_stream(settings, clock, limits=StreamLimits(keep_at_most=settings.keep_samples))
    topics = create_loop(settings, stream, state, kept, SamplesMetrics(registry))
    beside = ConsumeBeside(topics.run)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with beside.running():
            yield
        await topics.close()
        await stream.close()
        await state.close()

    async def ready() -> None:
        beside.check()
        if topics.trouble is not None:
            raise StreamDown(topics.trouble)
        await stream.ping()

    return create_app("RankGR samples", ready=ready, metrics=registry, door=door, lifespan=lifespan)


def create_loop(
    settings: SamplesSettings, stream: EventStream, state: JoinState, kept: Kept, metrics: SamplesMetrics
) -> SampleTopics:
    """What the app's lifespan runs, by itself; it opens its readers.  Raises as `create`."""
    clock, share = SystemClock(), Share(settings.share, settings.shares)
    memory = Memory(SessionJoin(_rules(settings)), _watermark(settings))
    sessions = SampleSessions(memory, state, stream, clock, metrics, kept, share, settings.user_ttl_s)

    def reading(topic: str) -> TopicReading:
        reader = stream.reader(topic, f"samples-{share.name}", sessions.positions(topic))
        return TopicReading(topic, reader, settings.turn_messages, clock, SystemRandom(), metrics)

    readings = [reading(topic) for topic in TOPICS]
    return SampleTopics(sessions, readings, clock, SystemRandom(), metrics, settings.turn_ms / 1000)


def main() -> None:
    """Read the environment, join until told to stop."""
    settings = read_settings(SamplesSettings)
    configure_logging(NAME, settings.log_level)
    with one_line_errors(NAME):
        state = DiskJoinState(settings.state)
        # Before a port is bound: of two processes on one state the second ends here.
        kept = asyncio.run(state.begin(owner_of(settings)))
        app = create(settings, state, kept)
    run_app(app, settings.host, settings.port, name=NAME, drain_s=settings.drain_s)


def owner_of(settings: SamplesSettings) -> str:
    """Whose state it is: a share of the users, among so many."""
    return f"share {Share(settings.share, settings.shares).name}"


def _rules(settings: SamplesSettings) -> JoinRules:
    try:
        return JoinRules(
            window_ms=round(settings.window_s * 1000),
            gap_ms=round(settings.gap_s * 1000),
            correct_ms=round(settings.correct_s * 1000),
            history_items=settings.history_items,
            pseudo_exposures=settings.pseudo_exposures,
        )
    except ValueError as error:
        raise BadRequest(f"RANKGR_SAMPLES_WINDOW_S, _GAP_S, _CORRECT_S: {error}") from error


def _watermark(settings: SamplesSettings) -> Watermark[tuple[str, str]]:
    return Watermark(
        lateness_ms=round(settings.lateness_s * 1000),
        idle_ms=round(settings.idle_s * 1000),
        ahead_ms=round(settings.ahead_s * 1000),
    )
