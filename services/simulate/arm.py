"""What a simulation asks of each way of keeping a model: one arm of the experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from contracts.behaviors import Behavior, Level
from contracts.ids import ItemId
from contracts.messages import MAX_RECENT, RecentInteraction
from model.data.changing_market import ChangingMarket, PeriodRequests
from model.data.data_set import DataSet

Past = dict[str, tuple[RecentInteraction, ...]]
"""What each user did before the first period, oldest first: told with the first trigger."""


class Name(StrEnum):
    """The arms.  RETRAIN: a model trained from nothing on a month of log after the change: the ceiling."""

    UPDATES = "updates"
    FROZEN = "frozen"
    RETRAIN = "retrain"


@dataclass(frozen=True, slots=True)
class Served:
    """A request's list as it was shown, best first; `fresh`: it was computed for this request."""

    item_ids: tuple[int, ...]
    model_version: str
    fresh: bool = True


class Arm(Protocol):
    """Serves the requests of one period after another, and is told what came of each list."""

    async def play(self, market: ChangingMarket, requests: PeriodRequests) -> Sequence[Served]:
        """Show each request its list, and tell what the shopper did; in the order of the requests.

        Raises Unavailable where nothing answers.
        """
        ...

    async def end_period(self) -> None:
        """The period is over: what is due at its end has happened when this returns.  Raises Unavailable."""
        ...


def past_of(data: DataSet) -> Past:
    """Clicks and purchases of every user of a log."""
    log = data.log
    past: dict[str, list[RecentInteraction]] = {}
    for row in np.flatnonzero(log.level >= Level.CLICK).tolist():
        past.setdefault(log.users[log.user[row]], []).append(
            RecentInteraction(
                item_id=ItemId(int(log.item[row])),
                behavior=Behavior(log.behaviors[log.behavior[row]]),
                timestamp=int(log.timestamp[row]) * 1000,
            )
        )
    return {user: tuple(events[-MAX_RECENT:]) for user, events in past.items()}
