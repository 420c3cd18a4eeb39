"""`rankgr bench train-stream`: samples and tokens a second of learning from a stream."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated

import typer

from services.cli.build import PresetName, check_preset
from services.cli.data import AsJson
from services.cli.output import emit, people


def train_stream(
    preset: PresetName = "tiny",
    users: Annotated[int, typer.Option(min=10, help="Of the synthetic marketplace.")] = 1000,
    items: Annotated[int, typer.Option(min=20, help="Of the synthetic marketplace.")] = 1500,
    samples: Annotated[int, typer.Option(min=1, help="How many are learnt from, at most.")] = 4000,
    batch_samples: Annotated[int, typer.Option(min=2, help="Samples of a step.")] = 16,
    as_json: AsJson = False,
) -> None:
    """Measure the trainer's core: messages read, learnt from, kept; no stream, no publication."""
    from services.bench.train_stream.main import Size, run

    check_preset(preset)
    outcome = run(Size(preset, users, items, samples, batch_samples), version("rankgr"), datetime.now(UTC))
    if as_json:
        emit(outcome.content())
    else:
        people().print(outcome.page())
