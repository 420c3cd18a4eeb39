"""`rankgr behaviour-order`: whether purchases are ranked above carts and these above clicks, with and without LDPO."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from services.cli.data import LARGEST_SEED, AsJson
from services.cli.output import emit, people, progress
from services.cli.parse import numbers


def behaviour_order(
    directory: Annotated[
        Path, typer.Argument(help="A data set with clicks, carts and purchases; order is not needed.")
    ],
    alphas: Annotated[
        str, typer.Option(help="Weights of LDPO; the first is what the others are held against.")
    ] = "0,1",
    beta: Annotated[float, typer.Option(min=1e-6, help="LDPO's beta.")] = 0.5,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="Passes over the users.")] = 12,
    k: Annotated[int, typer.Option(min=1, help="K of the purchase's HR@K.")] = 100,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Equal seeds give equal results.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Rank every user's held-out click, cart and purchase: how often is the stronger one above?  Chance is 0.5."""
    from model.data.data_set import read_data_set
    from model.evaluation.bootstrap import intervals
    from model.study.behaviour_order import OrderConfig, order_of_behaviours, share_right

    weights = numbers(alphas, "--alphas")
    if not weights:
        raise typer.BadParameter("at least one weight is needed", param_hint="--alphas")
    data = read_data_set(directory)
    rows: list[dict[str, object]] = []
    with progress(quiet=as_json) as shown:
        base = None
        for alpha in weights:
            started = time.monotonic()
            found = order_of_behaviours(data, OrderConfig(alpha=alpha, beta=beta, epochs=epochs, seed=seed), k, shown)
            base = base or found
            [hit] = intervals(found.hit_U[:, None], seed)
            [more] = intervals((found.hit_U - base.hit_U)[:, None], seed)
            pairs = share_right(found, seed)
            gained = intervals(found.right_UP - base.right_UP, seed)
            rows.append(
                {
                    "alpha": alpha,
                    "users": len(found.hit_U),
                    "order": {name: asdict(one) for name, one in pairs.items()},
                    "order_gained": {name: asdict(one) for name, one in zip(pairs, gained, strict=True)},
                    f"HR@{k}": asdict(hit),
                    f"HR@{k}_gained": asdict(more),
                    "seconds": round(time.monotonic() - started, 1),
                }
            )
            if not as_json:
                told = ", ".join(
                    f"{name} {one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]" for name, one in pairs.items()
                )
                people().print(f"alpha {alpha:g}: {told}; purchase HR@{k} {hit.mean:.4f}")
    if as_json:
        emit({"rows": rows})
