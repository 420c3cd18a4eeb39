"""`rankgr baseline`: a simple method, fitted and measured on a data set's held-out users as `rankgr eval` measures."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data import LARGEST_SEED, AsJson
from services.cli.evaluate import Apart, Dump, Ks, PerUser, SplitName, cutoffs_of
from services.cli.output import emit, people, progress


class MethodName(StrEnum):
    """Methods that need no bundle."""

    POPULARITY = "popularity"
    COOCCURRENCE = "cooccurrence"
    TRANSITIONS = "transitions"
    SASREC = "sasrec"


class HistoryLevel(StrEnum):
    """The weakest events that count."""

    CLICK = "click"
    EXPOSURE = "exposure"


def baseline(
    method: Annotated[MethodName, typer.Argument(help="Which method.")],
    directory: Annotated[Path, typer.Argument(help="A data set directory.")],
    split: Annotated[SplitName, typer.Option(help="Which held-out part.")] = SplitName.TEST,
    ks: Ks = "10,20,100,500",
    history: Annotated[
        HistoryLevel, typer.Option(help="The weakest events in histories and training pairs.")
    ] = HistoryLevel.CLICK,
    prior: Annotated[
        float, typer.Option(min=0, help="Co-occurrence: users added to both sides of the cosine; shrinks rare items.")
    ] = 20.0,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="SASRec: at most so many.")] = 15,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="SASRec: equal seeds give equal weights.")] = 0,
    apart: Apart = False,
    dump: Dump = None,
    per_user: PerUser = None,
    as_json: AsJson = False,
) -> None:
    """Fit a simple method on the training rows and measure it: the full catalogue is ranked, nothing is filtered."""
    from contracts.behaviors import Level
    from model.baselines.fit import BaselineConfig, Method, fit_baseline
    from model.baselines.sasrec import SasRecConfig
    from model.data.data_set import read_data_set
    from model.data.log import Split
    from model.evaluation.measured_users import measured_users
    from services.cli.measured import Measured, check_places

    cutoffs = cutoffs_of(ks)
    check_places(dump, per_user)
    config = BaselineConfig(
        history_level=Level[history.name],
        prior=prior,
        longest=max(cutoffs),
        sasrec=SasRecConfig(epochs=epochs, seed=seed),
    )
    data = read_data_set(directory)
    users = measured_users(data, Split[split.name], config.history_level, apart=apart)
    started = time.monotonic()
    with progress(quiet=as_json) as shown:
        fitted = fit_baseline(Method(method.value), data, config, shown)
        fit_seconds = time.monotonic() - started
        measured = Measured.of(fitted, users, cutoffs, shown, dump, per_user)
    if as_json:
        emit({"users": len(users), "metrics": measured.metrics, "fit_seconds": round(fit_seconds, 3)})
        return
    people().print(f"{len(users):,} users, {method.value}, fitted in {fit_seconds:.0f} s")
    measured.show()
