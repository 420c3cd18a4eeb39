"""`rankgr build`: a data set becomes a bundle."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from contracts.manifest import Manifest
from services.cli.data import LARGEST_SEED, AsJson
from services.cli.output import emit, people, progress

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
    from model.data.data_set import read_data_set

    check_preset(preset)
    started = time.monotonic()
    with progress(quiet=as_json) as shown:
        data = read_data_set(directory)
        source = Source.of(data, preset=preset, recipe=PRESETS[preset], seed=seed, release=version("rankgr"))
        manifest = BuildBundle(PRESETS[preset], source, shown, datetime.now(UTC))(data, out, replace=force)
    told(out, manifest, time.monotonic() - started, as_json)


def told(out: Path, manifest: Manifest, seconds: float, as_json: bool, extra: Mapping[str, int] | None = None) -> None:
    """Say what was made."""
    if as_json:
        emit(
            {
                "bundle": str(out),
                "model_version": manifest.model_version,
                "catalog_version": manifest.catalog_version,
                "seconds": round(seconds, 3),
                "metrics": manifest.metrics,
                **(extra or {}),
            }
        )
        return
    people().print(f"{out}: model {manifest.model_version}, catalogue {manifest.catalog_version}, {seconds:.0f} s")
    for name, value in manifest.metrics.items():
        people().print(f"  {name}: {value:.4f}")
