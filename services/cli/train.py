"""`rankgr train`: a data set and a configuration file become a bundle."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from services.cli.build import told
from services.cli.data import LARGEST_SEED, AsJson
from services.cli.output import progress


def train(
    directory: Annotated[Path, typer.Argument(help="A data set directory.")],
    out: Annotated[Path, typer.Option(help="The bundle directory to write.")],
    config: Annotated[Path, typer.Option(help="A configuration file, such as configs/amazon_beauty_cpu.toml.")],
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Equal seeds and data make equal bundles.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the bundle that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model as a configuration file says, and write its bundle."""
    from model.build.build_bundle import BuildBundle
    from model.build.read_recipe import read_recipe
    from model.build.source import Source
    from model.data.data_set import read_data_set

    recipe = read_recipe(config)
    started = time.monotonic()
    with progress(quiet=as_json) as shown:
        data = read_data_set(directory)
        source = Source.of(data, preset=config.stem, recipe=recipe, seed=seed, release=version("rankgr"))
        manifest = BuildBundle(recipe, source, shown, datetime.now(UTC))(data, out, replace=force)
    told(out, manifest, time.monotonic() - started, as_json)
