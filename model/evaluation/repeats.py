"""Truths cut in two, what the user had been at before and what is new to them; and lists of new items alone."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from contracts.behaviors import Level
from model.data.timelines import HeldOut

# Shapes: R items of a list.

AGAIN, NEW, FILTERED = "_again", "_new", "_filtered"


def with_repeats_apart(user: HeldOut) -> HeldOut:
    """The same user with two more truths per truth, where they hold anything.

    `click_again`: those of its items that the user had clicked before (history level click or more); `click_new`: the
    rest.  Means over them are means over the users that have such items.
    """
    had = frozenset(user.items[user.levels >= Level.CLICK].tolist())
    apart: dict[str, frozenset[int]] = {}
    for name, items in user.truth.items():
        apart |= {f"{name}{AGAIN}": items & had, f"{name}{NEW}": items - had}
    return dataclasses.replace(user, truth=user.truth | {name: items for name, items in apart.items() if items})


def without_seen(user: HeldOut, ranked_R: NDArray[np.int64]) -> NDArray[np.int64]:
    """A list [R] without what the user had clicked before, in its order: what a shop serves where nobody buys twice."""
    return ranked_R[~np.isin(ranked_R, user.items[user.levels >= Level.CLICK])]
