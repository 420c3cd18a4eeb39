"""`rankgr train`: a data set and a configuration file become a bundle, or a bundle learns from a log in event time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.build import told
from services.cli.data import LARGEST_SEED, AsJson
from services.cli.output import emit, people, progress

if TYPE_CHECKING:
    # Brings torch, which most commands do without.
    from model.build.recipe import Recipe
    from model.build.stream_training import Period, Streamed
    from model.data.data_set import DataSet

HOUR_MS = 3_600_000


class Per(StrEnum):
    """How much of event time one line is about."""

    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class _Words:
    """What was asked of a replay."""

    data: Path
    out: Path
    config: Path | None
    seed: int
    bundle: Path | None
    begin: datetime | None
    per: Per
    learning_rate: float | None
    batch_samples: int | None
    replay: float
    look_share: float
    k: int
    force: bool


def train(
    out: Annotated[Path, typer.Option(help="The bundle directory to write.")],
    directory: Annotated[Path | None, typer.Argument(help="A data set directory.", show_default=False)] = None,
    config: Annotated[
        Path | None, typer.Option(help="A configuration file, such as configs/amazon_beauty_cpu.toml.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Equal seeds and data make equal bundles.")] = 0,
    sids: Annotated[
        Path | None, typer.Option(help="Semantic ids made by `rankgr sid build`; the log is then streamed.")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Begin with this Hugging Face Qwen2 directory, its tokenizer and its template.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run left off.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the bundle that is there, forget an interrupted run.")
    ] = False,
    stream_from: Annotated[
        Path | None, typer.Option(help="Instead: learn from this data set in event time, request by request.")
    ] = None,
    init_bundle: Annotated[
        Path | None,
        typer.Option(help="With --stream-from: the bundle that learns; none: one trained on what is before --begin."),
    ] = None,
    begin: Annotated[
        datetime | None, typer.Option(help="With --stream-from: learn from requests from this time (UTC) on.")
    ] = None,
    per: Annotated[Per, typer.Option(help="With --stream-from: one line for each.")] = Per.HOUR,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0, help="With --stream-from: after the warm-up.", show_default="half of the bundle's"),
    ] = None,
    batch_samples: Annotated[
        int | None, typer.Option(min=1, help="With --stream-from: samples of a step.", show_default="16")
    ] = None,
    replay: Annotated[
        float, typer.Option(min=0, max=0.9, help="With --stream-from: so much of a step are older samples.")
    ] = 0.3,
    look_share: Annotated[
        float, typer.Option(min=0, max=1, help="With --stream-from: so many requests are asked about before.")
    ] = 0.2,
    k: Annotated[int, typer.Option("--k", min=1, max=1400, help="With --stream-from: the K of HR@K.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Train a model as a configuration file says, and write its bundle; or let one learn from a log as from a stream.

    Checkpoints and the log of steps go to OUT.training.
    """
    if stream_from is None:
        if directory is None or config is None:
            raise typer.BadParameter("are needed, or --stream-from", param_hint="DIRECTORY and --config")
        _train(directory, out, config, seed, sids, init, resume, force, as_json)
        return
    if directory is not None or sids is not None or init is not None or resume:
        raise typer.BadParameter("goes without DIRECTORY, --sids, --init and --resume", param_hint="--stream-from")
    if init_bundle is None and (config is None or begin is None):
        raise typer.BadParameter("needs --init-bundle, or --begin and --config", param_hint="--stream-from")
    _learn_from_log(
        _Words(
            data=stream_from,
            out=out,
            config=config,
            seed=seed,
            bundle=init_bundle,
            begin=begin,
            per=per,
            learning_rate=learning_rate,
            batch_samples=batch_samples,
            replay=replay,
            look_share=look_share,
            k=k,
            force=force,
        ),
        as_json,
    )


def _train(
    directory: Path,
    out: Path,
    config: Path,
    seed: int,
    sids: Path | None,
    init: Path | None,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    from model.build.read_recipe import read_recipe
    from model.build.training_job import TrainingJob

    recipe = read_recipe(config)
    job = TrainingJob(
        recipe=recipe,
        name=config.stem,
        data=directory,
        out=out,
        seed=seed,
        release=version("rankgr"),
        now=datetime.now(UTC),
        sids=sids,
        init=init,
    )
    started = time.monotonic()
    with progress(quiet=as_json or not job.speaks) as shown:
        built = job(shown, resume=resume, force=force)
    if job.speaks:
        told(out, built, time.monotonic() - started, as_json)


def _learn_from_log(asked: _Words, as_json: bool) -> None:
    from dataclasses import asdict

    from model.build.read_recipe import read_recipe
    from model.build.stream_training import LearnFromLog, learning, taught
    from model.build.train_prices import with_train_prices
    from model.bundle.verify import read_manifest
    from model.data.data_set import read_data_set
    from model.training.devices import is_main_process

    data = with_train_prices(read_data_set(asked.data), asked.data)
    recipe = None if asked.config is None else read_recipe(asked.config)
    bundle = asked.bundle
    if bundle is None:
        assert recipe is not None
        bundle = _trained_on_the_past(asked, data, recipe, as_json)
    manifest = read_manifest(bundle)
    begin_ms = manifest.newest_interaction_ms or 0
    if asked.begin is not None:
        begin_ms = int(asked.begin.replace(tzinfo=UTC).timestamp() * 1000)
    learn = LearnFromLog(
        config=learning(
            taught(bundle, recipe),
            "float32" if recipe is None else recipe.optimiser.precision,
            asked.seed,
            asked.learning_rate,
            asked.batch_samples,
            asked.replay,
        ),
        bundle=bundle,
        begin_ms=begin_ms,
        period_ms=HOUR_MS * (24 if asked.per is Per.DAY else 1),
        look_share=asked.look_share,
        k=asked.k,
    )
    periods: list[Period] = []

    def tell(period: Period) -> None:
        periods.append(period)
        if not as_json and is_main_process():
            _line(period, asked)

    done = learn(data.log, asked.out, datetime.now(UTC), tell, replace=asked.force)
    if done.manifest is None:
        return
    if as_json:
        lines = [asdict(period) | {"tokens_per_s": round(period.tokens_per_s, 1)} for period in periods]
        emit({"bundle": str(asked.out), **_told(done), "periods": lines})
        return
    people().print(
        f"{asked.out}: model {done.manifest.model_version}, {done.samples:,} samples, {done.steps:,} steps, "
        f"{done.seconds:.0f} s"
    )
    for name, count in sorted(done.counts.items()):
        people().print(f"  {name}: {count:,}")


def _told(done: Streamed) -> dict[str, object]:
    assert done.manifest is not None
    return {
        "model_version": done.manifest.model_version,
        "catalog_version": done.manifest.catalog_version,
        "newest_interaction_ms": done.manifest.newest_interaction_ms,
        "samples": done.samples,
        "steps": done.steps,
        "tokens": done.tokens,
        "seconds": round(done.seconds, 3),
        "counts": done.counts,
    }


def _line(period: Period, asked: _Words) -> None:
    form = "%Y-%m-%d" if asked.per is Per.DAY else "%Y-%m-%d %H:00"
    began = datetime.fromtimestamp(period.began_ms / 1000, UTC).strftime(form)
    loss = "-" if period.loss is None else f"{period.loss:.3f}"
    hits = "-" if period.hit_rate is None else f"{period.hit_rate:.4f}"
    people().print(
        f"{began}  {period.samples:>7,} samples  loss {loss:>7}  HR@{asked.k} {hits:>6} of {period.looked:,}"
        f"  {period.tokens_per_s:>8,.0f} tokens/s" + (f"  {period.skipped} steps skipped" if period.skipped else "")
    )


def _trained_on_the_past(asked: _Words, data: DataSet, recipe: Recipe, as_json: bool) -> Path:
    """A bundle of what lies before the time from which requests are learnt from one by one; beside OUT, and kept."""
    from model.build.build_bundle import BuildBundle
    from model.build.source import Source
    from model.data.earlier import earlier
    from model.training.devices import is_main_process, wait_for_all

    assert asked.begin is not None
    assert asked.config is not None
    past = earlier(data, int(asked.begin.replace(tzinfo=UTC).timestamp()))
    source = Source.of(past, preset=asked.config.stem, recipe=recipe, seed=asked.seed, release=version("rankgr"))
    out = asked.out.with_name(asked.out.name + ".training") / "past"
    with progress(quiet=as_json or not is_main_process()) as shown:
        BuildBundle(recipe, source, shown, datetime.now(UTC))(past, out, replace=True)
    # The others of several processes read what the first one wrote.
    wait_for_all()
    return out
