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
    as_json: AsJson = False,
) -> None:
    """Train a model as a configuration file says, and write its bundle.

    Checkpoints and the log of steps go to OUT.training.
    """
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
