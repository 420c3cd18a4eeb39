"""`rankgr ablate`: what each part of the method is worth on a data set, beside simple methods, in one table."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.data import AsJson
from services.cli.evaluate import SplitName, cutoffs_of
from services.cli.output import emit, note, people, progress
from services.cli.parse import integers, numbers, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.progress import Progress
    from model.build.recipe import Recipe
    from model.build.source import Source
    from model.data.data_set import DataSet
    from model.study.cells import Cell
    from model.study.report import Row
    from model.study.run import Study, Train
    from model.study.variants import Variant

BASELINES = ("popularity", "cooccurrence", "cooccurrence_exposures", "transitions", "sasrec")


def ablate(
    directory: Annotated[Path, typer.Argument(help="A data set directory.")],
    config: Annotated[Path, typer.Option(help="A training configuration, such as configs/amazon_beauty_cpu.toml.")],
    out: Annotated[
        Path | None, typer.Option(help="Where cells and bundles are kept; default: var/ablate/DATA-CONFIG.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the ablation; sweeps take the first.")] = "0",
    only: Annotated[str, typer.Option(help="These variants alone: full,no_ldpo,mu=0.5; default: all.")] = "",
    baselines: Annotated[str, typer.Option(help="Simple methods beside; none: no.")] = ",".join(BASELINES),
    prior: Annotated[float, typer.Option(min=0, help="Of the co-occurrence, see `rankgr baseline`.")] = 20.0,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="SASRec: at most so many.")] = 15,
    against: Annotated[str, typer.Option(help="The variant that others are held against.")] = "full",
    lambda_2: Annotated[str, typer.Option(help="Points of that sweep.")] = "8,32,128,512",
    mu: Annotated[str, typer.Option(help="Points of the sweep over iap_mix.")] = "0,0.1,0.25,0.5,1,4",
    alpha: Annotated[str, typer.Option(help="Points of that sweep, each a training.")] = "0,0.5,1,2",
    beta: Annotated[str, typer.Option(help="Points of that sweep, each a training.")] = "0.1,0.5,1",
    split: Annotated[SplitName, typer.Option(help="Which held-out part.")] = SplitName.TEST,
    ks: Annotated[str, typer.Option(help="The K of HR@K and NDCG@K.")] = "10,20,100,500",
    users: Annotated[int, typer.Option(min=0, help="Measure on so many users, the same for all; 0: everybody.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Measure again what is kept; train again what another recipe made.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train and measure variants cell by cell.  What is interrupted goes on where it stopped when it is asked again."""
    from model.build.read_recipe import read_recipe
    from model.build.train_prices import with_train_prices
    from model.data.data_set import read_data_set
    from model.data.log import Split
    from model.study.report import as_json as told
    from model.study.report import rows_of
    from model.study.run import Measure, Study, run
    from model.study.variants import SweepValues, ablation, sweeps

    recipe = read_recipe(config)
    values = SweepValues(
        lambda_2=integers(lambda_2, "--lambda-2"),
        mu=numbers(mu, "--mu"),
        alpha=numbers(alpha, "--alpha"),
        beta=numbers(beta, "--beta"),
    )
    known = [*ablation(recipe), *sweeps(recipe, values)]
    variants = _chosen(known, only)
    if against not in {*BASELINES, *(variant.name for variant in known)}:
        raise typer.BadParameter(f"{against!r} is no row of the table", param_hint="--against")
    chosen_seeds = _seeds(seeds)
    methods = _methods(baselines)
    data = with_train_prices(read_data_set(directory), directory)
    place = out or Path("var/ablate") / f"{data.name}-{config.stem}"
    measure = Measure(Split[split.name], cutoffs_of(ks), users)
    with progress(quiet=as_json) as shown:
        study = Study(data, measure, place, version("rankgr"), _train(data, shown), shown, force)
        cells = _baseline_cells(study, methods, chosen_seeds[0], prior, epochs)
        cells += list(run(study, variants, chosen_seeds, note))
    rows = rows_of(cells, against)
    written = _write(place, cells, rows, variants, against)
    if as_json:
        emit(told(rows, cells))
        return
    people().print((place / "table.md").read_text())
    for path in written:
        note(f"wrote {path}")


def _chosen(variants: Sequence[Variant], only: str) -> list[Variant]:
    names = words(only)
    known = [variant.name for variant in variants]
    if strange := [name for name in names if name not in known]:
        raise typer.BadParameter(f"{strange[0]!r} is none of {', '.join(known)}", param_hint="--only")
    return [variant for variant in variants if not names or variant.name in names]


def _seeds(text: str) -> tuple[int, ...]:
    found = integers(text, "--seeds")
    if not found or min(found) < 0 or len(set(found)) < len(found):
        raise typer.BadParameter("seeds are different whole numbers from 0 on", param_hint="--seeds")
    return found


def _methods(text: str) -> tuple[str, ...]:
    names = words(text)
    if names == ("none",):
        return ()
    if strange := [name for name in names if name not in BASELINES]:
        raise typer.BadParameter(f"{strange[0]!r} is none of {', '.join(BASELINES)}", param_hint="--baselines")
    return names


def _train(data: DataSet, shown: Progress) -> Train:
    from model.build.build_bundle import BuildBundle
    from model.training.run_directory import RunDirectory

    def train(recipe: Recipe, source: Source, out: Path, force: bool) -> None:
        place = RunDirectory(out.with_name(f"{out.name}.training"), source.digest)
        # A training that was interrupted goes on from its checkpoint; one of another recipe is forgotten where forced.
        place.begin(resume=place.resumable() or not force, replace=force)
        BuildBundle(recipe, source, shown, datetime.now(UTC), run=place)(data, out, replace=force)

    return train


def _baseline_cells(study: Study, names: Sequence[str], seed: int, prior: float, epochs: int) -> list[Cell]:
    from contracts.behaviors import Level
    from model.baselines.fit import BaselineConfig, Method
    from model.baselines.sasrec import SasRecConfig

    cells = []
    for name in names:
        shows = name == "cooccurrence_exposures"
        if shows and not (study.data.log.level == Level.EXPOSURE).any():
            continue
        config = BaselineConfig(
            history_level=Level.EXPOSURE if shows else Level.CLICK,
            prior=prior,
            longest=max(study.measure.ks),
            sasrec=SasRecConfig(epochs=epochs, seed=seed),
        )
        cells.append(study.baseline(name, Method("cooccurrence" if shows else name), config))
    return cells


def _write(
    place: Path, cells: Sequence[Cell], rows: Sequence[Row], variants: Sequence[Variant], against: str
) -> list[Path]:
    """table.md and a figure per sweep.  Without matplotlib there are no figures."""
    from model.study.report import markdown

    place.mkdir(parents=True, exist_ok=True)
    parts = []
    for truth in dict.fromkeys(truth for cell in cells for truth in cell.metrics.truths):
        metrics = next(cell.metrics.truths[truth].metrics for cell in cells if truth in cell.metrics.truths)
        parts.append(f"### {truth}\n\n{markdown(rows, truth, metrics, against)}")
    (place / "table.md").write_text("\n".join(parts))
    if find_spec("matplotlib") is None:
        return [place / "table.md"]
    from model.study.figures import draw_all

    return [place / "table.md", *draw_all(place, cells, variants)]
