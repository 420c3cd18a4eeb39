"""`rankgr up`: the whole stack on this machine, until Ctrl-C."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.build import PresetName, check_preset
from services.cli.output import note, people, progress

State = Annotated[Path, typer.Option(help="Where data, bundles and the event stream are kept.")]


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LogLevel = Annotated[Level, typer.Option(help="How much goes to stderr.")]


def up(
    bundle: Annotated[Path | None, typer.Option(help="The bundle to serve; default: one built from --data.")] = None,
    data: Annotated[Path | None, typer.Option(help="A data set directory; default: a synthetic marketplace.")] = None,
    preset: PresetName = "tiny",
    state: State = Path("var"),
    log_level: LogLevel = Level.WARNING,
    learn: Annotated[
        bool,
        typer.Option("--learn", help="Learn from what happens, and serve what was learnt: memory for a second model."),
    ] = False,
) -> None:
    """Start every process on embedded defaults and print where each answers."""
    from model.bundle.verify import read_manifest
    from services.local.logs import log_quietly
    from services.local.up import run_up

    check_preset(preset)
    log_quietly(log_level.value)
    if bundle is None:
        from services.local.examples import offer_examples
        from services.local.prepare import prepare
        from services.local.stack import check_ports

        check_ports(learns=learn)
        with progress(quiet=False) as shown:
            prepared = prepare(state, data, preset, shown)
        bundle = prepared.bundle
        offer_examples(prepared, state)
    manifest = read_manifest(bundle)

    def started(urls: dict[str, str]) -> None:
        for name, url in urls.items():
            people().print(f"{name:<12}{url}")
        people().print(f"serving model {manifest.model_version}; Ctrl-C stops all")

    run_up(bundle, state, note, started, learn=learn)
