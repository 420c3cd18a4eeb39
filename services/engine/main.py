"""Wiring of the engine process: bundle, host, queue, HTTP.  The only file here that constructs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import torch
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from contracts.errors import BadRequest
from model.bundle.read import Bundle, read_bundle
from model.decoding.two_stage import TwoStageDecoder
from model.prompt import PromptContext, context_tokens
from services.engine.api import create_api
from services.engine.decoding_host import DecodingHost
from services.engine.metrics import EngineMetrics
from services.engine.micro_batches import BatchLimits, MicroBatches
from services.engine.recommend_items import Model, RecommendItems
from services.engine.settings import EngineSettings
from services.runtime.auth import Scope
from services.runtime.clock import SystemClock
from services.runtime.gate import Door
from services.runtime.key_file import access_by
from services.runtime.lifecycle import one_line_errors, run_app
from services.runtime.settings import read_settings
from services.runtime.telemetry import configure_logging, new_registry

NAME = "engine"


@dataclass(frozen=True, slots=True)
class Engine:
    """The app, whose lifespan starts and stops the model, and the verb for callers in the same process."""

    app: FastAPI
    recommend: RecommendItems


def create(settings: EngineSettings, bundle: Bundle | None = None) -> Engine:
    """Put the engine together around a bundle, read from the settings' path if none is given.

    Raises BadBundle, BadKeyFile; BadRequest where the device is none that this machine has.
    """
    registry = new_registry()
    door = Door.of(access_by(settings.api_keys_file), Scope.ENGINE)
    bundle = bundle or read_bundle(settings.bundle)
    recommend = _verb(settings, bundle, registry)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await recommend.start()
        try:
            yield
        finally:
            await recommend.stop()

    return Engine(create_api(recommend, registry=registry, door=door, lifespan=lifespan), recommend)


def _verb(settings: EngineSettings, bundle: Bundle, registry: CollectorRegistry) -> RecommendItems:
    metrics = EngineMetrics(registry)
    host = _torch_host(settings, bundle, metrics)
    metrics.waiting.set_function(lambda: host.waiting)
    model = Model(
        model_version=bundle.manifest.model_version,
        catalog_version=bundle.manifest.catalog_version,
        vocab_size=bundle.config.vocab_size,
        warm_up=tuple(context_tokens(bundle.prompt_format, PromptContext()).tolist()),
    )
    return RecommendItems(host, model, settings.deadline_ms, metrics.note)


def _torch_host(settings: EngineSettings, bundle: Bundle, metrics: EngineMetrics) -> DecodingHost:
    return MicroBatches(
        host=_torch_decoder(settings, bundle),
        limits=BatchLimits(most=settings.max_batch, max_wait_s=settings.max_wait_ms / 1000, waiting=settings.queue),
        clock=SystemClock(),
        observe_batch=metrics.note_batch,
    )


def _torch_decoder(settings: EngineSettings, bundle: Bundle) -> TwoStageDecoder:
    if settings.threads:
        torch.set_num_threads(settings.threads)
    try:
        network = bundle.network().to(torch.device(settings.device))
    except (RuntimeError, AssertionError) as error:
        raise BadRequest(f"device {settings.device!r} cannot be used: {str(error).splitlines()[0]}") from error
    return TwoStageDecoder(network, bundle.catalog)


def main() -> None:
    """Read the environment, load the bundle, serve until told to stop."""
    settings = read_settings(EngineSettings)
    configure_logging(NAME, settings.log_level)
    with one_line_errors(NAME):
        engine = create(settings)
    run_app(engine.app, settings.host, settings.port, name=NAME)
