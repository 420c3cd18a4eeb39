"""`rankgr build`: a data set becomes a bundle."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.data import LARGEST_SEED, AsJson
from services.cli.output import emit, people, progress

if TYPE_CHECKING:
    # Brings torch, which most commands do without.
    from model.build.build_bundle import Built

PresetName = Annotated[
    str, typer.Option(help="How large a model, how long a training: tiny; micro is for tests and smoke runs.")
]


def check_preset(name: str) -> None:
    """Wrong use where no preset has this name."""
    from model.build.presets import PRESETS

    if name not in PRESETS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(PRESETS)}", param_hint="--preset")


def build(
    directory: Annotated[Path, typer.Argument(help="A data set directory.")],
    out: Annotated[Path, typer.Option(help="The bundle directory to write.")],
    preset: PresetName = "tiny",
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Equal seeds and data make equal bundles.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the bundle that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn a data set into a bundle: semantic ids, a trained model, a catalogue, a fallback list."""
    from model.build.build_bundle import BuildBundle
    from model.build.presets import PRESETS
    from model.build.source import Source
    from model.build.train_prices import with_train_prices
    from model.data.data_set import read_data_set

    check_preset(preset)
    started = time.monotonic()
    with progress(quiet=as_json) as shown:
        data = with_train_prices(read_data_set(directory), directory)
        source = Source.of(data, preset=preset, recipe=PRESETS[preset], seed=seed, release=version("rankgr"))
        built = BuildBundle(PRESETS[preset], source, shown, datetime.now(UTC))(data, out, replace=force)
    told(out, built, time.monotonic() - started, as_json)


def told(out: Path, built: Built, seconds: float, as_json: bool) -> None:
    """Say what was made."""
    manifest, fit = built.manifest, built.fit
    if as_json:
        emit(
            {
                "bundle": str(out),
                "model_version": manifest.model_version,
                "catalog_version": manifest.catalog_version,
                "seconds": round(seconds, 3),
                "epochs": fit.epochs,
                "steps": fit.steps,
                "tokens": fit.tokens,
                "tokens_per_s": round(fit.tokens_per_s, 1),
                "metrics": manifest.metrics,
            }
        )
        return
    people().print(f"{out}: model {manifest.model_version}, catalogue {manifest.catalog_version}, {seconds:.0f} s")
    people().print(
        f"  {fit.steps:,} steps, {fit.epochs} epochs, {fit.tokens:,} tokens, {fit.tokens_per_s:,.0f} a second"
    )
    for name, value in manifest.metrics.items():
        people().print(f"  {name}: {value:.4f}")
