"""`rankgr compare`: two methods on the same users, metric by metric, with paired bootstrap intervals."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data import LARGEST_SEED, AsJson
from services.cli.output import emit, people


def compare(
    ours: Annotated[Path, typer.Argument(help="A file of `--per-user`.")],
    theirs: Annotated[Path, typer.Argument(help="Another, of the same users.")],
    draws: Annotated[int, typer.Option(min=100, max=100_000, help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Equal seeds draw the same users.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Take the difference of two methods user by user: its mean, its 95 % interval, the smallest that would show."""
    from model.evaluation.compare import compare as paired
    from model.evaluation.user_metrics import UserMetrics

    found = paired(UserMetrics.read(ours), UserMetrics.read(theirs), seed, draws)
    if as_json:
        emit({truth: {name: asdict(one) for name, one in of.items()} for truth, of in found.items()})
        return
    for truth, of in found.items():
        for name, one in of.items():
            people().print(
                f"  {truth:>14} {name:>9}  {one.mean:+.4f}  [{one.low:+.4f}, {one.high:+.4f}]"
                f"   smallest that would show {one.smallest_effect:.4f}"
            )
