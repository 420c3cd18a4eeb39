"""One measurement of the command line: held-out users, their lists, the files that keep them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.behaviors import Level
from contracts.progress import Progress
from model.data.data_set import DataSet
from model.data.log import Split
from model.data.timelines import HeldOut, held_out
from model.evaluation.dump import ListDump
from model.evaluation.evaluate import Metrics, measure_users
from model.evaluation.recommender import Recommender
from model.evaluation.repeats import with_repeats_apart
from services.cli.output import people


def heldout_users(data: DataSet, split: Split, history_level: Level, apart: bool) -> list[HeldOut]:
    """The held-out users; `apart` adds truths for what they had clicked before and what is new."""
    users = held_out(data, split, history_level)
    return [with_repeats_apart(user) if apart else user for user in users]


@dataclass(frozen=True, slots=True)
class Measured:
    """Means of one method."""

    metrics: Metrics

    @classmethod
    def of(
        cls,
        method: Recommender,
        users: Sequence[HeldOut],
        ks: tuple[int, ...],
        shown: Progress,
        dump: Path | None,
        per_user: Path | None,
    ) -> Measured:
        """Ask for every user's list; write lists and metrics of users where wanted."""
        with ListDump(dump) as lists:
            shown.begin("evaluating", len(users))
            found = measure_users(method, users, ks, advance=shown.advance, keep=lists.add)
        if per_user is not None:
            found.write(per_user)
        return cls(found.means())

    def show(self, beside: Metrics | None = None) -> None:
        """For people; `beside` are popularity's."""
        for truth, values in self.metrics.items():
            for name, value in values.items():
                more = "" if beside is None or truth not in beside else f"   popularity {beside[truth][name]:.4f}"
                people().print(f"  {truth:>14} {name:>9}  {value:.4f}{more}")
