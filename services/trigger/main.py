"""Wiring of the trigger process: ledger, stream, HTTP.  The only file here that constructs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import SystemRandom

from fastapi import FastAPI

from services.gateways.event_stream.chosen import open_stream
from services.gateways.event_stream.counted import CountedPublisher, PublishMetrics
from services.gateways.redis_link import RedisTimes
from services.gateways.redis_link.link_metrics import LinkMetrics
from services.gateways.trigger_ledger.in_redis import RedisTriggerLedger
from services.runtime.admission import Admission
from services.runtime.auth import Scope
from services.runtime.clock import SystemClock
from services.runtime.event_ids import uuid7_ids
from services.runtime.gate import Door
from services.runtime.key_file import access_by
from services.runtime.lifecycle import one_line_errors, run_app
from services.runtime.rate_limit import RateLimit
from services.runtime.settings import read_settings
from services.runtime.telemetry import configure_logging, new_registry
from services.runtime.trace_export import open_traces
from services.trigger.accept_interactions import AcceptInteractions
from services.trigger.accept_trigger import AcceptTrigger
from services.trigger.api import create_api
from services.trigger.metrics import TriggerMetrics
from services.trigger.settings import TriggerSettings
from services.trigger.take_trigger import TakeTrigger

NAME = "trigger"


def create(settings: TriggerSettings) -> FastAPI:
    """The app; it connects when it is first used, and its lifespan frees the connections.  Raises BadKeyFile."""
    clock, registry = SystemClock(), new_registry()
    traces = open_traces(settings, NAME)
    new_event_id = uuid7_ids(clock, SystemRandom())
    stream = open_stream(settings, clock)
    publisher = CountedPublisher(stream, PublishMetrics(registry))
    timeout_s = settings.store_timeout_ms / 1000
    ledger = RedisTriggerLedger.connect(
        settings.redis_url,
        ttl_s=settings.request_ttl_s,
        times=RedisTimes(connect_s=timeout_s, answer_s=timeout_s, free_connection_s=timeout_s),
        watch=LinkMetrics(registry),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await stream.close()
        await ledger.close()
        traces.close()

    metrics, admission = TriggerMetrics(registry), Admission(settings.at_once)
    metrics.watch(admission)
    take_trigger = TakeTrigger(
        AcceptTrigger(ledger, publisher, clock, new_event_id),
        clock,
        metrics,
        admission,
        per_user=_limit("user", settings.user_per_s, settings.user_burst),
        per_key=_limit("API key", settings.key_per_s, settings.key_burst),
        traces=traces,
    )
    return create_api(
        take_trigger,
        AcceptInteractions(publisher, new_event_id),
        # Without the ledger triggers are accepted all the same: it does not decide about readiness.
        ready=stream.ping,
        registry=registry,
        door=Door.of(access_by(settings.api_keys_file), Scope.TRIGGER),
        lifespan=lifespan,
        max_body_bytes=settings.max_body_bytes,
    )


def _limit(whose: str, per_s: float, burst: int) -> RateLimit | None:
    return RateLimit(whose, per_s, burst) if per_s else None


def main() -> None:
    """Read the environment, serve until told to stop."""
    settings = read_settings(TriggerSettings)
    configure_logging(NAME, settings.log_level)
    with one_line_errors(NAME):
        app = create(settings)
    run_app(app, settings.host, settings.port, name=NAME, drain_s=settings.drain_s)
