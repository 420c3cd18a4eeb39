"""One word per baseline, and what it takes to fit it on a data set and ask the users that it can be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

import numpy as np

from contracts.behaviors import Level
from contracts.progress import Progress
from model.baselines.item_to_item import PRIOR_USERS, RECENCY, ItemToItem, cooccurrence, returns_often, transitions
from model.baselines.popular import PopularItems
from model.baselines.sasrec import SasRec, SasRecConfig, fit_sasrec, has_successions
from model.baselines.train_rows import TrainRows
from model.data.data_set import DataSet
from model.data.hold_out import hold_out_last
from model.data.log import Split
from model.data.timelines import HeldOut, held_out
from model.evaluation.recommender import Recommender

# Enough users to tell one epoch of SASRec from the next.
VALIDATION_USERS = 3000
# Where users come back, the first places are found within two epochs; what lies behind them takes a few more.
LENT_STOP_ON = "HR@20"


class Method(StrEnum):
    """Baselines by name."""

    POPULARITY = "popularity"
    COOCCURRENCE = "cooccurrence"
    TRANSITIONS = "transitions"
    SASREC = "sasrec"


@dataclass(frozen=True, slots=True)
class BaselineConfig:
    """What may be chosen of a baseline.

    history_level: the weakest events that histories and, in `cooccurrence`, training pairs hold.  `transitions` and
    `sasrec` need an order, and learn best from clicks.  prior: see `cooccurrence`.
    """

    history_level: Level = Level.CLICK
    prior: float = PRIOR_USERS
    longest: int = 1000
    sasrec: SasRecConfig = field(default_factory=SasRecConfig)

    def used_by(self, method: Method) -> dict[str, object]:
        """Those of the settings that this method's lists depend on."""
        used: dict[str, object] = {"history_level": int(self.history_level), "longest": self.longest}
        if method is Method.COOCCURRENCE:
            used["prior"] = self.prior
        if method is Method.SASREC:
            used["sasrec"] = asdict(self.sasrec)
        return used


def fit_baseline(method: Method, data: DataSet, config: BaselineConfig, progress: Progress) -> Recommender:
    """Fit on training rows alone; validation rows stop SASRec's training and do no more.

    A log without validation rows is asked on its users' last training requests how many epochs SASRec needs, and all
    training rows are then learnt from for so many.
    Raises BadDataSet where the log has nothing to fit on.
    """
    rows = TrainRows.of(data, config.history_level)
    fits: dict[Method, Callable[[], Recommender]] = {
        Method.POPULARITY: lambda: PopularItems(rows, config.longest),
        Method.COOCCURRENCE: lambda: ItemToItem(
            rows, cooccurrence(rows, config.prior), config.longest, repeats_first=returns_often(rows)
        ),
        Method.TRANSITIONS: lambda: ItemToItem(
            rows, transitions(rows), config.longest, recency=RECENCY, repeats_first=returns_often(rows)
        ),
        Method.SASREC: lambda: _sasrec(rows, data, config, progress),
    }
    return fits[method]()


def _sasrec(rows: TrainRows, data: DataSet, config: BaselineConfig, progress: Progress) -> SasRec:
    validation, chosen = _validation(data, config), config.sasrec
    if not validation:
        lent = hold_out_last(data)
        left = TrainRows.of(lent, config.history_level)
        # Where what is left shows no order, nobody says when to stop.
        if (asked := _validation(lent, config)) and has_successions(left):
            counted = replace(chosen, stop_on=LENT_STOP_ON)
            chosen = replace(chosen, epochs=fit_sasrec(left, asked, counted, config.longest, progress).epochs)
    return fit_sasrec(rows, validation, chosen, config.longest, progress)


def _validation(data: DataSet, config: BaselineConfig) -> Sequence[HeldOut]:
    users = list(held_out(data, Split.VALID, config.history_level))
    if len(users) <= VALIDATION_USERS:
        return users
    chosen = np.random.default_rng(config.sasrec.seed).permutation(len(users))[:VALIDATION_USERS]
    return [users[place] for place in chosen]
