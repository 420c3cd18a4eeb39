"""Wiring of `rankgr simulate drift`: the marketplace, the bundles, the arms one after the other, the report."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from contracts.progress import Progress
from model.build.presets import PRESETS
from model.build.recipe import Recipe
from model.bundle.read import read_bundle
from model.data.changing_market import ChangingMarket, ChangingMarketConfig
from model.data.marketplace.config import MarketplaceConfig
from model.training.incremental.config import IncrementalConfig, ReplayConfig
from services.bench.engine.machine import machine_of
from services.runtime.clock import SystemClock
from services.simulate.arm import Arm, Name, Past, past_of
from services.simulate.bundles import PRESET, built
from services.simulate.in_process import InProcessArm, Terms
from services.simulate.measure import Asked, measure
from services.simulate.report import Report
from services.simulate.run import PlayPeriods
from services.simulate.stacks import Stacks

OpenArm = Callable[[Name, Path], AbstractAsyncContextManager[Arm]]
EVALUATED_USERS = 50


@dataclass(frozen=True, slots=True)
class Learning:
    """What the trainer is told; None: its own default."""

    learning_rate: float | None = None
    batch_samples: int | None = None
    warmup_steps: int | None = None
    replay_share: float | None = None

    def given(self) -> dict[str, float | int]:
        """What is told at all, by the names of the trainer's settings."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def config(self, recipe: Recipe, seed: int) -> IncrementalConfig:
        """The same for a learner in this process."""
        plain = IncrementalConfig()
        return IncrementalConfig(
            seed=seed,
            batch_samples=plain.batch_samples if self.batch_samples is None else self.batch_samples,
            learning_rate=self.learning_rate or recipe.taught().rate,
            warmup_steps=plain.warmup_steps if self.warmup_steps is None else self.warmup_steps,
            replay=plain.replay if self.replay_share is None else ReplayConfig(share=self.replay_share),
            losses=recipe.losses,
            samples=recipe.samples,
        )


@dataclass(frozen=True, slots=True)
class Options:
    """What a run may be told.

    before, after: periods before the change, and from it on.  tokens: of the training of either bundle.
    update_every_s: on real processes, how often a publication is due, and so how long a period is.
    """

    users: int
    items: int
    requests: int
    before: int
    after: int
    page: int
    tokens: int
    seed: int
    update_every_s: float
    learning: Learning
    in_process: bool
    cache: Path

    def small(self) -> Options:
        """As little as still shows something."""
        return replace(self, users=300, items=150, requests=200, before=1, after=4, tokens=200_000, update_every_s=12.0)

    def told(self) -> dict[str, str | int | float | bool]:
        """For the report."""
        told = {name: value for name, value in asdict(self).items() if name not in ("learning", "cache")}
        return told | {"preset": PRESET}


def run(options: Options, started: datetime, progress: Progress, say: Callable[[str], None]) -> Report:
    """Build what is missing, play all arms, measure.  Raises BadRequest for sizes that make no sense; Unavailable."""
    seconds: dict[str, float] = {}
    market = ChangingMarket(
        ChangingMarketConfig(
            market=MarketplaceConfig(users=options.users, items=options.items),
            requests=options.requests,
            changes_at=options.before,
        ),
        options.seed,
    )
    recipe = _recipe(options.tokens)
    with _timed(seconds, "bundles"):
        bundles = {
            name: built(data, recipe, options.seed, options.cache, progress, started)
            for name, data in ((Name.FROZEN, market.before), (Name.RETRAIN, market.a_month_later()))
        }
    bundles[Name.UPDATES] = bundles[Name.FROZEN]
    learning = options.learning.config(recipe, options.seed)
    asked: dict[Name, list[Asked]] = {}
    end = options.before + options.after
    with _opener(options, past_of(market.before), learning, started, say) as opened:
        for name in Name:
            begin = options.before if name is Name.RETRAIN else 0
            progress.begin(name.value, end - begin)
            play = PlayPeriods(market, lambda lists, rate: progress.advance(1, f"{lists} lists, hit rate {rate:.3f}"))
            with _timed(seconds, name.value):
                asked[name] = asyncio.run(_play(play, opened(name, bundles[name]), begin, end))
    return Report(
        machine=machine_of("cpu", 1, started),
        run=options.told(),
        learning={
            "learning_rate": learning.learning_rate,
            "batch_samples": learning.batch_samples,
            "warmup_steps": learning.warmup_steps,
            "replay_share": learning.replay.share,
            "held_out_share": learning.held_out.share,
        },
        seconds=seconds,
        outcome=measure(asked, options.before),
    )


def write(report: Report, directory: Path) -> list[Path]:
    """result.json, table.md, drift.svg; which were written.  Without matplotlib there is no figure.  Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    result, table = directory / "result.json", directory / "table.md"
    result.write_text(json.dumps(report.content(), indent=1) + "\n")
    table.write_text(report.page() + "\n")
    if find_spec("matplotlib") is None:
        return [result, table]
    from services.simulate.figure import draw

    where = "in one process" if report.run["in_process"] else "on real processes"
    title = f"Tastes change before period {report.run['before']}; {report.run['requests']} requests a period, {where}"
    return [result, table, draw(report.outcome, int(report.run["before"]), title, directory)]


def _recipe(tokens: int) -> Recipe:
    recipe = PRESETS[PRESET]
    return replace(
        recipe,
        optimiser=replace(recipe.optimiser, tokens=tokens),
        evaluation=replace(recipe.evaluation, users=EVALUATED_USERS),
    )


async def _play(play: PlayPeriods, opened: AbstractAsyncContextManager[Arm], begin: int, end: int) -> list[Asked]:
    async with opened as arm:
        return await play(arm, begin, end)


@contextmanager
def _opener(
    options: Options, past: Past, learning: IncrementalConfig, started: datetime, say: Callable[[str], None]
) -> Iterator[OpenArm]:
    """How arms are opened: as plain objects, or as a stack of processes each."""
    if options.in_process:
        terms = Terms(page=options.page, began_ms=round(started.timestamp() * 1000))

        @asynccontextmanager
        async def in_process(name: Name, bundle: Path) -> AsyncIterator[Arm]:
            yield InProcessArm(read_bundle(bundle), past, terms, learning if name is Name.UPDATES else None)

        yield in_process
        return
    with tempfile.TemporaryDirectory(prefix="rankgr-simulate-") as place:
        told = options.learning.given() | {"seed": options.seed}
        yield Stacks(Path(place), past, options.page, options.update_every_s, told, SystemClock(), say).opened


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    clock = SystemClock()
    began_s = clock.monotonic_s()
    yield
    seconds[name] = round(clock.monotonic_s() - began_s, 1)
