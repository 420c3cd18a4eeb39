"""`rankgr eval`: HR@K and NDCG@K of a bundle on a data set's held-out split, next to popularity."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data import AsJson
from services.cli.output import emit, people, progress
from services.cli.parse import integers


class SplitName(StrEnum):
    """Held-out parts of a data set."""

    TEST = "test"
    VALID = "valid"


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle directory.")],
    directory: Annotated[Path, typer.Argument(help="A data set directory.")],
    split: Annotated[SplitName, typer.Option(help="Which held-out part.")] = SplitName.TEST,
    ks: Annotated[str, typer.Option(help="The K of HR@K and NDCG@K.")] = "10,20,100,500",
    beams: Annotated[str, typer.Option(help="Beam width per level; default: the bundle's.")] = "",
    lambdas: Annotated[str, typer.Option(help="Candidate codes per level and prefix; default: the bundle's.")] = "",
    iap_mix: Annotated[
        float | None, typer.Option(help="Weight of IAP's log p beside RSP's log s; default: the bundle's.")
    ] = None,
    dump: Annotated[Path | None, typer.Option(help="Write every list: user_id, rank, item_id, score.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on held-out users: the full catalogue is ranked, nothing is filtered or sampled."""
    from model.bundle.read import read_bundle
    from model.data.data_set import read_data_set
    from model.data.log import Split
    from model.data.timelines import held_out
    from model.decoding.two_stage import TwoStageDecoder
    from model.evaluation.dump import ListDump
    from model.evaluation.evaluate import evaluate as measure
    from model.evaluation.recommender import Generative, Popularity

    cutoffs = integers(ks, "--ks")
    if not cutoffs or min(cutoffs) < 1:
        raise typer.BadParameter("every K is at least 1", param_hint="--ks")
    opened = read_bundle(bundle)
    users = list(held_out(read_data_set(directory), Split[split.name], opened.prompt_format.history_level))
    decoder = TwoStageDecoder(opened.network(), opened.catalog)
    method = Generative(
        decoder,
        opened.prompt_format,
        opened.catalog,
        beams=integers(beams, "--beams") or None,
        lambdas=integers(lambdas, "--lambdas") or None,
        iap_mix=iap_mix,
    )
    with progress(quiet=as_json) as shown, ListDump(dump) as lists:
        shown.begin("evaluating", len(users))
        metrics = measure(method, users, cutoffs, advance=shown.advance, keep=lists.add)
    popularity = measure(Popularity(opened.catalog), users, cutoffs)
    if as_json:
        emit({"users": len(users), "metrics": metrics, "popularity": popularity})
        return
    people().print(f"{len(users):,} users, model {opened.manifest.model_version}")
    for truth, values in metrics.items():
        for name, value in values.items():
            people().print(f"  {truth:>10} {name:>9}  {value:.4f}   popularity {popularity[truth][name]:.4f}")
