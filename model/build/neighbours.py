"""Pairs of items as training rows show them, and how a bundle's lists are ordered by them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from contracts.behaviors import Level
from contracts.errors import BadConfig
from model.baselines.item_to_item import RECENCY, cooccurrence, returns_often, transitions
from model.baselines.train_rows import TrainRows
from model.build.recipe import Recipe
from model.data.log import InteractionLog
from model.network.config import NeighbourOrder, RankGRConfig
from model.semantic_id.neighbours import Neighbours

# Shapes: N items of the training rows, F of them with neighbours, P pairs.

RETURNS = 0.3
"""The least share of what was clicked last, where users come back to what they clicked."""


def made_neighbours(log: InteractionLog, name: str, recipe: Recipe) -> tuple[Neighbours, NeighbourOrder] | None:
    """What a recipe asks for, from training rows alone; None where it asks for none.

    Raises BadDataSet for a log without such rows.
    """
    wish = recipe.neighbours
    if wish.method == "none":
        return None
    directed = wish.method == "transitions"
    rows = TrainRows.of_log(log, name, Level.CLICK if directed else recipe.prompt.history_level)
    matrix = transitions(rows) if directed else cooccurrence(rows, wish.prior)
    order = NeighbourOrder(
        weight=wish.weight,
        floor=wish.floor,
        recency=RECENCY if directed else 1.0,
        returns=RETURNS if returns_often(rows) else 0.0,
    )
    return strongest(matrix, rows, wish.per_item), order


def strongest(matrix: sp.csr_matrix, rows: TrainRows, most: int) -> Neighbours:
    """The `most` strongest neighbours of every item, strongest first, ties to the lower id; matrix [N, N]."""
    coo = matrix.tocoo()
    positive = coo.data > 0
    row_P, column_P, says_P = coo.row[positive], coo.col[positive], coo.data[positive].astype(np.float32)
    order_P = np.lexsort((column_P, -says_P, row_P))
    row_P, column_P, says_P = row_P[order_P], column_P[order_P], says_P[order_P]
    kept_P = np.arange(len(row_P)) - np.searchsorted(row_P, row_P) < most
    row_P, column_P, says_P = row_P[kept_P], column_P[kept_P], says_P[kept_P]
    row_F, count_F = np.unique(row_P, return_counts=True)
    return Neighbours(
        from_item=rows.item_id[row_F].astype(np.int64),
        start=np.concatenate([[0], np.cumsum(count_F)]).astype(np.int64),
        to_item=rows.item_id[column_P].astype(np.int64),
        says=says_P,
    )


def ordered_by(config: RankGRConfig, order: NeighbourOrder | None) -> RankGRConfig:
    """The same configuration, with this order."""
    decode = config.decode.model_copy(update={"neighbours": order})
    return config.model_copy(update={"rankgr": config.rankgr.model_copy(update={"decode": decode})})


def refuse_neighbours(recipe: Recipe) -> None:
    """Raises BadConfig for a recipe that wants neighbours of a log that is never in memory as a whole."""
    if recipe.neighbours.method != "none":
        raise BadConfig("neighbours.method needs the whole log in memory: leave --sids out, or ask for none")
