"""`rankgr eval`: HR@K and NDCG@K of a bundle on a data set's held-out split, next to popularity."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data import AsJson
from services.cli.output import emit, people, progress
from services.cli.parse import integers

Ks = Annotated[str, typer.Option(help="The K of HR@K and NDCG@K.")]
Apart = Annotated[
    bool,
    typer.Option(
        "--apart",
        help="Also metrics of repeats, of what is new to the user, and of that in lists without repeats.",
    ),
]
Dump = Annotated[Path | None, typer.Option(help="Write every list: user_id, rank, item_id, score.")]
PerUser = Annotated[Path | None, typer.Option(help="Write every user's metrics, for `rankgr compare`.")]


class SplitName(StrEnum):
    """Held-out parts of a data set."""

    TEST = "test"
    VALID = "valid"


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle directory.")],
    directory: Annotated[Path, typer.Argument(help="A data set directory.")],
    split: Annotated[SplitName, typer.Option(help="Which held-out part.")] = SplitName.TEST,
    ks: Ks = "10,20,100,500",
    beams: Annotated[str, typer.Option(help="Beam width per level; default: the bundle's.")] = "",
    lambdas: Annotated[str, typer.Option(help="Candidate codes per level and prefix; default: the bundle's.")] = "",
    iap_mix: Annotated[
        float | None, typer.Option(help="Weight of IAP's log p beside RSP's log s; default: the bundle's.")
    ] = None,
    neighbours: Annotated[
        bool,
        typer.Option(help="Order by the bundle's neighbours, too, where it has some."),
    ] = True,
    apart: Apart = False,
    dump: Dump = None,
    per_user: PerUser = None,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on held-out users: the full catalogue is ranked, nothing is filtered or sampled."""
    from model.bundle.read import read_bundle
    from model.data.data_set import read_data_set
    from model.data.log import Split
    from model.decoding.two_stage import TwoStageDecoder
    from model.evaluation.evaluate import evaluate as measure
    from model.evaluation.measured_users import measured_users
    from model.evaluation.recommender import Generative, Popularity
    from services.cli.measured import Measured, check_places

    cutoffs = cutoffs_of(ks)
    check_places(dump, per_user)
    opened = read_bundle(bundle)
    level = opened.prompt_format.history_level
    users = measured_users(read_data_set(directory), Split[split.name], level, apart=apart)
    decoder = TwoStageDecoder(opened.network(), opened.catalog, neighbours=opened.neighbours if neighbours else None)
    method = Generative(
        decoder,
        opened.prompt_format,
        opened.catalog,
        beams=integers(beams, "--beams") or None,
        lambdas=integers(lambdas, "--lambdas") or None,
        iap_mix=iap_mix,
    )
    with progress(quiet=as_json) as shown:
        measured = Measured.of(method, users, cutoffs, shown, dump, per_user)
    popularity = measure(Popularity(opened.catalog), users, cutoffs)
    if as_json:
        emit({"users": len(users), "metrics": measured.metrics, "popularity": popularity})
        return
    people().print(f"{len(users):,} users, model {opened.manifest.model_version}")
    measured.show(popularity)


def cutoffs_of(ks: str) -> tuple[int, ...]:
    """The K of `--ks`; wrong use where one is below 1."""
    cutoffs = integers(ks, "--ks")
    if not cutoffs or min(cutoffs) < 1:
        raise typer.BadParameter("every K is at least 1", param_hint="--ks")
    return cutoffs
