"""`rankgr misses`: one metric of several methods, side by side, over users cut by what their truth is like."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data import AsJson
from services.cli.evaluate import SplitName
from services.cli.output import emit, people


def misses(
    directory: Annotated[Path, typer.Argument(help="A data set directory.")],
    files: Annotated[list[Path], typer.Argument(help="Files of `--per-user`; a table's users.parquet.")],
    truth: Annotated[str, typer.Option(help="Which truth: click, pv, purchase.")] = "click",
    metric: Annotated[str, typer.Option(help="Which of its metrics.")] = "HR@20",
    split: Annotated[SplitName, typer.Option(help="The held-out part that the files are of.")] = SplitName.TEST,
    as_json: AsJson = False,
) -> None:
    """Show where methods hit and miss: by popularity, by the length of the history, and by the relation of both."""
    from model.data.data_set import read_data_set
    from model.data.log import Split
    from model.evaluation.user_metrics import UserMetrics
    from model.study.misses import misses as parts_of

    methods = [UserMetrics.read(path) for path in files]
    parts = parts_of(read_data_set(directory), Split[split.name], methods, truth, metric)
    if as_json:
        emit({"files": [str(path) for path in files], "parts": [asdict(part) for part in parts]})
        return
    people().print(f"{metric} of {truth}: {', '.join(str(path) for path in files)}")
    for part in parts:
        means = "  ".join(f"{mean:.4f}" for mean in part.means)
        people().print(f"  {part.by:>10} {part.name:<16} {part.users:>7,} users  {means}")
