"""The stack in one command: six light children, and here, in this process, engine and precompute.

Those two share one copy of the weights, and no HTTP between them.  The event stream and the stores are embedded.
A stack that learns has one more child, with a second copy of the weights, and follows what that publishes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from model.bundle.prompt_side import PromptSide
from model.bundle.read import Bundle, read_bundle
from services.console.settings import ConsoleSettings
from services.engine.main import create as create_engine
from services.engine.settings import EngineSettings
from services.gateways.inference.in_process import InProcessInferenceEngine
from services.history.settings import HistorySettings
from services.local.children import Child
from services.local.embedded_servers import EmbeddedServers
from services.local.readiness import wait_ready
from services.precompute.main import create as create_precompute
from services.precompute.settings import PrecomputeSettings
from services.retrieval.settings import RetrievalSettings
from services.runtime.clock import Clock
from services.runtime.lifecycle import Site, reserve, serve
from services.runtime.settings import ClientSettings, ProcessSettings, StreamSettings, read_settings, variables_of
from services.samples.settings import SamplesSettings
from services.trainer.settings import TrainerSettings
from services.trigger.settings import TriggerSettings

Settings = TypeVar("Settings", bound=ProcessSettings)

# A trainer that loads beside all the others on two busy cores takes a minute or two.
READY_WITHIN_S = 180.0
LIGHT: dict[str, type[ProcessSettings]] = {
    "trigger": TriggerSettings,
    "history": HistorySettings,
    "retrieval": RetrievalSettings,
    "samples": SamplesSettings,
    "console": ConsoleSettings,
}
LEARNING: dict[str, type[ProcessSettings]] = {"trainer": TrainerSettings}


@dataclass(frozen=True, slots=True)
class LocalStack:
    """A running stack: where each process answers; `failed` raises when one of them is beyond help.

    `key_header`: what to send along where keys are set up.  `stream`: where its events travel.
    """

    urls: dict[str, str]
    key_header: dict[str, str]
    stream: StreamSettings
    failed: asyncio.Future[None]


@asynccontextmanager
async def run_stack(
    bundle: Path,
    servers: EmbeddedServers,
    clock: Clock,
    say: Callable[[str], None],
    *,
    learns_in: str = "",
    ready_within_s: float = READY_WITHIN_S,
) -> AsyncIterator[LocalStack]:
    """Everything up and ready inside the block; leaving it drains and ends everything but the servers.

    learns_in: the bundle store that a trainer publishes to and the rest follows; empty: nothing is learnt.
    Raises BadBundle; Unavailable when something is not ready in time; SystemExit with one line for a port in use.
    """
    given = {**servers.given(), "bundle": bundle, "state": servers.state}
    given |= {"bundle_store": learns_in} if learns_in else {}
    kinds = LIGHT | (LEARNING if learns_in else {})
    async with AsyncExitStack() as ending:
        light = {name: ending.enter_context(_placed(kind, name, given)) for name, kind in kinds.items()}
        engine = ending.enter_context(_placed(EngineSettings, "engine", given))
        precompute = ending.enter_context(_placed(PrecomputeSettings, "precompute", given))
        hosted = _hosted_sites(read_bundle(bundle), engine, precompute)
        urls = {name: _url(settings.host, settings.port) for name, settings in light.items()}
        urls |= {site.name: _url(site.host, site.port) for site in hosted}
        told = {**_kept_files(servers.state), **servers.told(), "RANKGR_BUNDLE": str(bundle)}
        told |= {"RANKGR_BUNDLE_STORE": learns_in} if learns_in else {}
        told |= _console_s(urls)
        stop = asyncio.Event()
        serving = asyncio.ensure_future(serve(hosted, stop=stop))
        ending.push_async_callback(_drain, stop, serving)
        watched: list[asyncio.Future[None]] = [serving]
        children = [
            Child(name, told | {f"RANKGR_{name.upper()}_PORT": str(settings.port)}, clock, say)
            for name, settings in light.items()
        ]
        ending.push_async_callback(_stop, children)
        for child in children:
            await child.start()
            watched.append(asyncio.ensure_future(child.watch()))
        watched += [asyncio.ensure_future(server.watch(say)) for server in (servers.cache, servers.stream)]
        failed = asyncio.ensure_future(_first_end(watched))
        ready = asyncio.ensure_future(wait_ready(urls, ready_within_s))
        ending.push_async_callback(_cancel, [ready, failed, *watched[1:]])
        await asyncio.wait([ready, failed], return_when=asyncio.FIRST_COMPLETED)
        for early in (failed, ready):
            if early.done():
                early.result()
        stream = read_settings(StreamSettings, given)
        yield LocalStack(urls, read_settings(ClientSettings).key_header, stream, failed)


def check_ports(*, learns: bool = False) -> None:
    """SystemExit with one line for the first port of the stack that is in use: found out before a long build."""
    # Settings want a bundle, a state and a store; which ones does not matter for where a process listens.
    given: dict[str, object] = {"bundle": Path(), "state": Path()} | ({"bundle_store": "any"} if learns else {})
    kinds: dict[str, type[ProcessSettings]] = {**LIGHT, "engine": EngineSettings, "precompute": PrecomputeSettings}
    kinds |= LEARNING if learns else {}
    for name, kind in kinds.items():
        with _placed(kind, name, given):
            pass


@contextmanager
def _placed(kind: type[Settings], name: str, given: Mapping[str, object]) -> Iterator[Settings]:
    """Settings whose port is free, 0 turned into one, and is kept for us inside the block; else SystemExit.

    Found out here, and not by a child that ends and ends again.  A trainer listens a minute after its port was chosen,
    and a child that ended listens anew a moment later: an unkept port may be the near end of any connection by then.
    """
    settings = read_settings(kind, given)
    with reserve(settings.host, settings.port, name) as held:
        yield settings.model_copy(update={"port": held.getsockname()[1]})


def _hosted_sites(
    bundle: Bundle, engine_settings: EngineSettings, precompute_settings: PrecomputeSettings
) -> list[Site]:
    engine = create_engine(engine_settings, bundle)
    precompute = create_precompute(
        precompute_settings,
        side=PromptSide(bundle.manifest, bundle.prompt_format, bundle.catalog),
        engine=InProcessInferenceEngine(engine.recommend.answer, engine.recommend.ready),
    )
    return [
        Site("engine", engine.app, engine_settings.host, engine_settings.port),
        Site("precompute", precompute, precompute_settings.host, precompute_settings.port),
    ]


def _kept_files(state: Path) -> dict[str, str]:
    """Where retrieval keeps what is hidden, for the cache is empty at every start, samples its join, and the trainer
    what it needs to go on; unless they are told.
    """
    files = {
        variables_of(RetrievalSettings)["hidden_file"]: state / "hidden-items",
        variables_of(SamplesSettings)["state"]: state / "samples.sqlite",
        variables_of(TrainerSettings)["state"]: state / "trainer",
    }
    return {variable: str(file) for variable, file in files.items() if not os.environ.get(variable)}


def _console_s(urls: Mapping[str, str]) -> dict[str, str]:
    """Where the console finds the others."""
    variables = variables_of(ConsoleSettings)
    own = {name: urls[name] for name in ("trigger", "retrieval", "engine")}
    others = [f"{name}={url}" for name, url in urls.items() if name not in own and name != "console"]
    told = {variables[f"{name}_url"]: url for name, url in own.items()}
    told[variables["processes"]] = ",".join(others)
    return told


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _first_end(watched: list[asyncio.Future[None]]) -> None:
    """Whatever ends first, with its reason."""
    done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    for ended in done:
        ended.result()


async def _stop(children: list[Child]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


async def _drain(stop: asyncio.Event, serving: asyncio.Future[None]) -> None:
    stop.set()
    await asyncio.wait([serving])


async def _cancel(tasks: list[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
