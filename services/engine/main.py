"""Wiring of the engine process: bundle, host, queue, HTTP.  The only file here that constructs."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from fastapi import FastAPI

from contracts.errors import BadRequest
from model.bundle.prompt_side import PromptSide
from model.bundle.read import Bundle, read_bundle
from model.decoding.fused_network import FusedNetwork
from model.decoding.two_stage import TwoStageDecoder
from services.bundles.follow import Turns
from services.bundles.follow_metrics import FollowMetrics
from services.bundles.opened import open_bundles
from services.engine.api import create_api
from services.engine.decoding_host import DecodingHost
from services.engine.metrics import EngineMetrics
from services.engine.micro_batches import BatchLimits, MicroBatches
from services.engine.pace import Pace
from services.engine.recommend_items import RecommendItems
from services.engine.serving import Model, Serving
from services.engine.settings import Dtype, EngineSettings
from services.engine.swap_model import SwapModel
from services.engine.vllm_host.beam_by_beam import BeamByBeam
from services.engine.vllm_host.host import Search, VllmHost
from services.engine.vllm_host.options import VllmOptions
from services.engine.vllm_host.pooled import PooledSearch
from services.engine.warm_up import warm_up_batches
from services.gateways.bundle_store.port import Channel
from services.runtime.auth import Scope
from services.runtime.clock import SystemClock
from services.runtime.gate import Door
from services.runtime.key_file import access_by
from services.runtime.lifecycle import one_line_errors, run_app
from services.runtime.settings import read_settings
from services.runtime.telemetry import configure_logging, new_registry
from services.runtime.trace_export import open_traces

NAME = "engine"


@dataclass(frozen=True, slots=True)
class Engine:
    """The app, whose lifespan starts and stops the model, and the verb for callers in the same process."""

    app: FastAPI
    recommend: RecommendItems


def create(
    settings: EngineSettings, bundle: Bundle | None = None, *, lost: Callable[[], None] = lambda: None
) -> Engine:
    """Put the engine together around a bundle; none given: the one of the settings' path, or of the bundle store.

    `lost` is called once when the model can no longer decode.
    Raises BadBundle, NoSuchBundle, BundleStoreDown, BadKeyFile; BadRequest where the device is none of this machine's.
    """
    registry = new_registry()
    door = Door.of(access_by(settings.api_keys_file), Scope.ENGINE)
    traces = open_traces(settings, NAME)
    follow = FollowMetrics(registry)
    opened = open_bundles(settings, f"{NAME}-{settings.port}", Channel(settings.channel))
    bundle = bundle or opened.first(read_bundle)
    metrics = EngineMetrics(registry)
    recommend = _verb(settings, bundle, metrics, lost)
    swap = _swap(settings, recommend, metrics, follow)
    swap.switched(bundle)
    following = opened.following(swap, bundle.manifest, follow, _turns(settings))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await recommend.start()
        try:
            async with following.followed():
                yield
        finally:
            await recommend.stop()
            swap.close()
            opened.close()
            traces.close()

    api = create_api(
        recommend,
        clock=SystemClock(),
        registry=registry,
        door=door,
        lifespan=lifespan,
        max_body_bytes=settings.max_body_bytes,
        traces=traces,
    )
    return Engine(api, recommend)


def _turns(settings: EngineSettings) -> Turns | None:
    """Replicas swap one after the other, each under a name of its own."""
    if not settings.turn_s:
        return None
    return Turns(f"{socket.gethostname()}:{settings.port}:{os.getpid()}", settings.turn_s)


def _swap(
    settings: EngineSettings, recommend: RecommendItems, metrics: EngineMetrics, follow: FollowMetrics
) -> SwapModel:
    clock = SystemClock()

    def switched(bundle: Bundle) -> None:
        metrics.serves(bundle.manifest.model_version, bundle.manifest.catalog_version)
        follow.serves(bundle.manifest, clock)

    return SwapModel(recommend, lambda bundle: _serving(settings, bundle, metrics), switched, clock, follow.note_stage)


def _verb(settings: EngineSettings, bundle: Bundle, metrics: EngineMetrics, lost: Callable[[], None]) -> RecommendItems:
    pace = Pace(SystemClock())
    serving = _serving(settings, bundle, metrics)
    recommend = RecommendItems(serving, pace, settings.deadline_ms, metrics.note, lost)
    metrics.waiting.set_function(lambda: recommend.serving.host.waiting)
    metrics.cache_bytes.set_function(lambda: recommend.serving.cache_bytes())
    metrics.inside.set_function(lambda: pace.inside)
    metrics.per_prompt.set_function(lambda: pace.per_prompt_s)
    return recommend


def _serving(settings: EngineSettings, bundle: Bundle, metrics: EngineMetrics) -> Serving:
    """What serves a bundle, not started yet.  Raises BadBundle where the host cannot decode such a model."""
    side = PromptSide(bundle.manifest, bundle.prompt_format, bundle.catalog)
    model = Model(
        model_version=bundle.manifest.model_version,
        catalog_version=bundle.manifest.catalog_version,
        vocab_size=bundle.config.vocab_size,
        warm_up=warm_up_batches(side, most=min(settings.max_batch, settings.queue)),
    )
    if settings.model_host == "vllm":
        return Serving(_vllm_host(settings, bundle, metrics), model)
    decoder = _torch_decoder(settings, bundle)
    host = MicroBatches(
        decoder=decoder,
        limits=BatchLimits(
            most=settings.max_batch,
            max_wait_s=settings.max_wait_ms / 1000,
            waiting=settings.queue,
            stalled_after_s=settings.stalled_after_s,
        ),
        probe=model.warm_up[0][0],
        clock=SystemClock(),
        observe_batch=metrics.note_batch,
    )
    return Serving(host, model, lambda: decoder.cache_figures.nbytes, decoder)


def _vllm_host(settings: EngineSettings, bundle: Bundle, metrics: EngineMetrics) -> DecodingHost:
    options = VllmOptions(
        bundle=bundle.path,
        config=bundle.config,
        most=settings.max_batch,
        waiting=settings.queue,
        threads=settings.threads,
        cache_bytes=settings.prefix_cache_bytes,
        dtype=_dtype_name(settings.dtype, torch.device(settings.device)),
        compiled=settings.compile,
        stalled_after_s=settings.stalled_after_s,
    )
    search: Search = PooledSearch()
    if settings.decoding == "logits-processor":
        search = BeamByBeam(bundle.config, bundle.catalog, bundle.neighbours)
    return VllmHost(options, search, SystemClock(), metrics.note_batch)


def _torch_decoder(settings: EngineSettings, bundle: Bundle) -> TwoStageDecoder:
    if settings.threads:
        torch.set_num_threads(settings.threads)
    try:
        device = torch.device(settings.device)
        network = bundle.network().to(device, getattr(torch, _dtype_name(settings.dtype, device)))
    except (RuntimeError, AssertionError) as error:
        raise BadRequest(f"device {settings.device!r} cannot be used: {str(error).splitlines()[0]}") from error
    fused = FusedNetwork(network, backend="inductor" if settings.compile else None)
    return TwoStageDecoder(fused, bundle.catalog, neighbours=bundle.neighbours, cache_bytes=settings.prefix_cache_bytes)


def _dtype_name(asked: Dtype, device: torch.device) -> Literal["float32", "bfloat16"]:
    """`auto`: bfloat16 on a GPU, whose matrix units are made for it, float32 elsewhere."""
    if asked == "auto":
        return "float32" if device.type == "cpu" else "bfloat16"
    return asked


def run(settings: EngineSettings, bundle: Bundle | None = None) -> None:
    """Serve until told to stop; SystemExit with one line for what stands in the way, or where the model is lost."""
    configure_logging(NAME, settings.log_level)
    with one_line_errors(NAME):
        # A process whose model is lost ends: whoever runs it starts another, and its replicas take over meanwhile.
        engine = create(settings, bundle, lost=lambda: signal.raise_signal(signal.SIGTERM))
    run_app(engine.app, settings.host, settings.port, name=NAME, drain_s=settings.drain_s)
    if engine.recommend.is_lost:
        raise SystemExit(f"rankgr {NAME}: the model can no longer decode; the log says why")


def main(given: Mapping[str, object] | None = None) -> None:
    """Read the environment, before which `given` fields go, load the bundle, serve until told to stop."""
    run(read_settings(EngineSettings, given))
