"""From what each arm served to hit rates, and to the share of the loss that was recovered.  Arithmetic alone."""

# Shapes: A arms, P periods, U users, D draws.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.errors import BadRequest
from model.data.arrays import Float64
from services.simulate.arm import Name

DRAWS = 2000
CHUNK = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of an arm: whose, in which period, whether its list held what was wanted, and the chance of it."""

    period: int
    user: str
    hit: bool
    chance: float
    fresh: bool
    model_version: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, and its 95 % interval by a bootstrap over users."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PeriodRate:
    """An arm in one period.  rate: mean chance of a hit.  hits: share of lists that held the item that was drawn."""

    arm: Name
    period: int
    rate: Estimate
    hits: float
    fresh: float
    models: int
    """Different models that computed fresh lists."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """Shares of the loss that an arm has back in a period, after so many updates.

    of_ceiling: (h - h1) / (r - h1); of_before: (h - h1) / (h0 - h1).
    """

    arm: Name
    period: int
    updates: int
    of_ceiling: Estimate
    of_before: Estimate


@dataclass(frozen=True, slots=True)
class Outcome:
    """before: h0, before the change.  fallen: h1, in the first period after it, of the arm that learns nothing.

    ceiling: r, of the arm that was trained anew, over all its periods.
    """

    rates: tuple[PeriodRate, ...]
    before: Estimate
    fallen: Estimate
    ceiling: Estimate
    recovered: tuple[Recovered, ...]

    def after(self, updates: int, arm: Name = Name.UPDATES) -> Recovered:
        """What an arm has back after so many updates.  Raises BadRequest where the run was too short."""
        for one in self.recovered:
            if one.arm is arm and one.updates == updates:
                return one
        raise BadRequest(f"the run ended before {updates} updates")


def measure(asked: Mapping[Name, Sequence[Asked]], changes_at: int, seed: int = 0) -> Outcome:
    """All of it.  Raises BadRequest where an arm that is needed, or a period on either side of the change, is missing.

    The same draws of users for all arms and periods: differences are paired.
    """
    if missing := [name.value for name in Name if not asked.get(name)]:
        raise BadRequest(f"needed: requests of {', '.join(missing)}")
    sums = _Sums.of(asked)
    rates = sums.rates(seed)
    periods = {name: sorted({one.period for one in of}) for name, of in asked.items()}
    if changes_at not in periods[Name.FROZEN] or periods[Name.FROZEN][0] >= changes_at:
        raise BadRequest(f"needed: periods before {changes_at}, and {changes_at}, of {Name.FROZEN.value}")
    before = rates.mean(Name.FROZEN, [period for period in periods[Name.FROZEN] if period < changes_at])
    fallen = rates.mean(Name.FROZEN, [changes_at])
    ceiling = rates.mean(Name.RETRAIN, [period for period in periods[Name.RETRAIN] if period >= changes_at])
    recovered = []
    for arm in (Name.UPDATES, Name.FROZEN):
        for period in periods[arm]:
            if period >= changes_at:
                gained = rates.mean(arm, [period]) - fallen
                shares = [_estimate(gained / (aim - fallen)) for aim in (ceiling, before)]
                recovered.append(Recovered(arm, period, period - changes_at, *shares))
    told = [
        PeriodRate(arm, period, _estimate(rates.mean(arm, [period])), *_counted(asked[arm], period))
        for arm in Name
        for period in periods[arm]
    ]
    return Outcome(tuple(told), _estimate(before), _estimate(fallen), _estimate(ceiling), tuple(recovered))


@dataclass(frozen=True, slots=True, eq=False)
class _Rates:
    """Mean chances as drawn: [:, 0] is of all users as they are, the rest of users drawn with replacement."""

    place: Mapping[tuple[Name, int], int]
    sum_CD: Float64
    count_CD: Float64

    def mean(self, arm: Name, periods: Sequence[int]) -> Float64:
        """[D + 1] over all requests of these periods."""
        rows = [self.place[arm, period] for period in periods]
        mean_D: Float64 = self.sum_CD[rows].sum(0) / np.maximum(self.count_CD[rows].sum(0), 1)
        return mean_D


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Per user and (arm, period): the sum of the chances, and the number of requests."""

    place: Mapping[tuple[Name, int], int]
    sum_UC: Float64
    count_UC: Float64

    @classmethod
    def of(cls, asked: Mapping[Name, Sequence[Asked]]) -> _Sums:
        users = {user: row for row, user in enumerate(sorted({one.user for of in asked.values() for one in of}))}
        keys = sorted({(arm, one.period) for arm, of in asked.items() for one in of})
        place = {key: column for column, key in enumerate(keys)}
        sum_UC, count_UC = np.zeros((len(users), len(keys))), np.zeros((len(users), len(keys)))
        for arm, of in asked.items():
            for one in of:
                cell = users[one.user], place[arm, one.period]
                sum_UC[cell] += one.chance
                count_UC[cell] += 1
        return cls(place, sum_UC, count_UC)

    def rates(self, seed: int) -> _Rates:
        """Users drawn with replacement, `DRAWS` times."""
        users = len(self.sum_UC)
        rng, share = np.random.default_rng(seed), np.full(users, 1.0 / users)
        sums, counts = [self.sum_UC.sum(0)[None]], [self.count_UC.sum(0)[None]]
        for start in range(0, DRAWS, CHUNK):
            drawn_DU = rng.multinomial(users, share, size=min(CHUNK, DRAWS - start))
            sums.append(drawn_DU @ self.sum_UC)
            counts.append(drawn_DU @ self.count_UC)
        return _Rates(self.place, np.concatenate(sums).T, np.concatenate(counts).T)


def _estimate(value_D: Float64) -> Estimate:
    low, high = np.nanquantile(value_D[1:], (0.025, 0.975)).tolist()
    return Estimate(float(value_D[0]), low, high)


def _counted(asked: Sequence[Asked], period: int) -> tuple[float, float, int]:
    here = [one for one in asked if one.period == period]
    # A fallback list is no model's.
    models = {one.model_version for one in here if one.fresh}
    return sum(one.hit for one in here) / len(here), sum(one.fresh for one in here) / len(here), len(models)
