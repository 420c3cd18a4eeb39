"""Wiring of the console: the others over HTTP, stream, stores, the catalogue.  The only file here that constructs."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import SystemRandom

from fastapi import FastAPI

from model.bundle.prompt_side import PROMPT_FILES
from services.bundles.opened import open_bundles
from services.console.api import create_api
from services.console.catalogue import FollowCatalogue
from services.console.examples import read_examples
from services.console.explain_list import ExplainList
from services.console.follow_request import FollowRequest
from services.console.look_at_system import LookAtSystem
from services.console.request_routes import RequestParts
from services.console.settings import ConsoleSettings
from services.console.system_routes import SystemParts
from services.console.views import Views
from services.console.words import Words
from services.gateways.bundle_store.port import Channel
from services.gateways.event_stream.chosen import open_stream
from services.gateways.hidden_items.in_redis import RedisHiddenItems
from services.gateways.history.in_redis import RedisHistoryStore
from services.gateways.inference.over_http import HttpInferenceEngine
from services.gateways.own_processes.over_http import HttpOwnProcesses
from services.gateways.redis_link import RedisTimes
from services.runtime.clock import SystemClock
from services.runtime.event_ids import uuid7_ids
from services.runtime.key_file import access_by
from services.runtime.lifecycle import one_line_errors, run_app
from services.runtime.settings import is_loopback, read_settings
from services.runtime.telemetry import configure_logging, new_registry

NAME = "console"
# Somebody looks and can wait a little; a store that is down should be said soon all the same.
TIMES = RedisTimes(connect_s=0.5, answer_s=2.0, free_connection_s=1.0)


def create(settings: ConsoleSettings) -> FastAPI:
    """The app; it connects when it is first asked.  Raises BadBundle, BadKeyFile, BadRequest for a file of examples."""
    clock, words, views = SystemClock(), Words(), Views(settings.views)
    access = access_by(settings.api_keys_file)
    bundles = open_bundles(settings, f"{NAME}-{settings.port}", Channel.LATEST, PROMPT_FILES)
    catalogue = FollowCatalogue(bundles, words)
    catalogue.first()
    stream = open_stream(settings, clock)
    histories = RedisHistoryStore.connect(settings.redis_url, times=TIMES)
    hidden = RedisHiddenItems.connect(settings.redis_url, times=TIMES)
    engine = HttpInferenceEngine.connect(settings.engine_url, headers=settings.key_header)
    new_id = uuid7_ids(clock, SystemRandom())
    others = HttpOwnProcesses.connect(settings.trigger_url, settings.retrieval_url, settings.key_header, new_id)
    explain = ExplainList(engine, histories, hidden, words)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with catalogue.running():
            yield
        for part in (stream, histories, hidden, engine, others):
            await part.close()

    return create_api(
        RequestParts(
            trigger=others,
            histories=histories,
            follow=FollowRequest(stream, others, explain, clock, settings.window_ms),
            words=words,
            examples=read_examples(settings.examples),
            views=views,
            clock=clock,
            asks_for_key=access.keys is not None,
        ),
        SystemParts(
            look=LookAtSystem(settings.process_urls, others, clock),
            store=bundles.store,
            stream=stream,
            hidden=hidden,
            words=words,
            views=views,
            clock=clock,
            view_s=settings.view_s,
            new_member=lambda: f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
        ),
        access=access,
        registry=new_registry(),
        lifespan=lifespan,
        loopback=is_loopback(settings.host),
    )


def main() -> None:
    """Read the environment, serve until told to stop."""
    settings = read_settings(ConsoleSettings)
    configure_logging(NAME, settings.log_level)
    with one_line_errors(NAME):
        app = create(settings)
    run_app(app, settings.host, settings.port, name=NAME, drain_s=settings.drain_s)
