"""Users and a catalogue whose metrics can be computed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from model.data.timelines import HeldOut, RequestCircumstances
from model.semantic_id.catalog import Catalog


def popular_catalog(popularity: Mapping[int, float]) -> Catalog:
    """Items with these ids, one per semantic id."""
    ids = sorted(popularity)
    return Catalog(
        item_id=np.array(ids),
        codes=np.arange(len(ids), dtype=np.int32)[:, None],
        popularity=np.array([popularity[item] for item in ids], np.float32),
        level_sizes=(len(ids),),
    )


def user(name: str, history: Sequence[int] = (1,), **truth: set[int]) -> HeldOut:
    """A user who clicked on `history` and then on the truth."""
    return HeldOut(
        user=name,
        items=np.array(history),
        levels=np.full(len(history), 3, np.int8),
        timestamps=np.arange(len(history)),
        circumstances=RequestCircumstances(scene=None, timestamp_s=None, device=None),
        truth={kind: frozenset(items) for kind, items in truth.items()},
    )
