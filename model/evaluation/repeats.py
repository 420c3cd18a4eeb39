"""Truths cut in two: what the user had been at before, and what is new to them."""

from __future__ import annotations

import dataclasses

from contracts.behaviors import Level
from model.data.timelines import HeldOut


def with_repeats_apart(user: HeldOut) -> HeldOut:
    """The same user with two more truths per truth, where they hold anything.

    `click_again`: those of its items that the user had clicked before (history level click or more); `click_new`: the
    rest.  Means over them are means over the users that have such items.
    """
    had = frozenset(user.items[user.levels >= Level.CLICK].tolist())
    apart: dict[str, frozenset[int]] = {}
    for name, items in user.truth.items():
        apart |= {f"{name}_again": items & had, f"{name}_new": items - had}
    return dataclasses.replace(user, truth=user.truth | {name: items for name, items in apart.items() if items})
