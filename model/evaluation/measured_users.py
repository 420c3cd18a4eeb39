"""The users that methods are measured on: nobody to ask is an error, not a table without rows."""

from __future__ import annotations

from contracts.behaviors import Level
from contracts.errors import BadDataSet
from model.data.data_set import DataSet
from model.data.log import Split
from model.data.timelines import HeldOut, held_out
from model.evaluation.repeats import with_repeats_apart


def measured_users(data: DataSet, split: Split, history_level: Level, *, apart: bool = False) -> list[HeldOut]:
    """The held-out users of a split; `apart` adds truths for what they had clicked before and what is new.

    Raises BadDataSet where there is none, and for a log without order.
    """
    users = [with_repeats_apart(user) if apart else user for user in held_out(data, split, history_level)]
    if not users:
        raise BadDataSet(
            f"{data.name}: no user has a click in the {split.name.lower()} split with a history before it: "
            "there is nobody to measure on"
        )
    return users
