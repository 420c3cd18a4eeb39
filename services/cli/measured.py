"""One measurement of the command line: held-out users, their lists, the files that keep them."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.progress import Progress
from model.data.timelines import HeldOut
from model.evaluation.dump import ListDump
from model.evaluation.evaluate import Metrics, measure_users
from model.evaluation.recommender import Recommender
from services.cli.output import people


def check_places(*files: Path | None) -> None:
    """Raise FileNotFoundError for a file whose folder is not there: before minutes of work, not after them."""
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "There is no such folder", str(file.parent))


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
