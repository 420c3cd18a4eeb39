"""One arm through its periods: the same requests as every other arm, each answer held against what was wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from model.data.changing_market import ChangingMarket, PeriodRequests
from services.simulate.arm import Arm
from services.simulate.measure import Asked


@dataclass(frozen=True, slots=True)
class PlayPeriods:
    """`say` is told of each period that is over: how many lists, and their mean chance of a hit."""

    market: ChangingMarket
    say: Callable[[int, float], None]

    async def __call__(self, arm: Arm, begin: int, end: int) -> list[Asked]:
        """Periods begin, ... end - 1.  Raises what the arm raises."""
        asked: list[Asked] = []
        for requests in islice(self.market.periods(), begin, end):
            of_period = await self._play(arm, requests)
            asked += of_period
            self.say(len(of_period), sum(one.chance for one in of_period) / len(of_period))
            if requests.period + 1 < end:
                await arm.end_period()
        return asked

    async def _play(self, arm: Arm, requests: PeriodRequests) -> list[Asked]:
        served = await arm.play(self.market, requests)
        return [
            Asked(
                period=requests.period,
                user=requests.user(number),
                hit=self.market.hit(requests, number, one.item_ids),
                chance=self.market.hit_chance(requests, number, one.item_ids),
                fresh=one.fresh,
                model_version=one.model_version,
            )
            for number, one in enumerate(served)
        ]
