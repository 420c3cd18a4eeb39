"""What one host did in one case, turn by turn, and the row of the table that becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from pydantic import BaseModel, ConfigDict

from services.bench.engine.cases import Case
from services.bench.engine.lists import Difference
from services.bench.engine.messages import Found


class Row(BaseModel):
    """One line of the table; times are per user.

    equal_to_reference: lists against the naive float32 search, where it was computed; equal_to_torch: every list of
    every turn against the torch host's; worst_score_difference and recall: the worst of both comparisons;
    grown_mb: by how much resident memory rose at most while all users were decoded; gflop_per_user: of the
    algorithm, counted (flops.py); share_of_product: gflops over those of a plain matrix product in the same run;
    counts: prompt tokens computed and reused, beams that there were and that were extended, per user.
    """

    model_config = ConfigDict(frozen=True)

    case: str
    host: str
    users: int
    prompt_tokens: int
    prompt_lengths: list[int]
    beams: list[int]
    lambdas: list[int]
    turns: int
    ms_per_user_median: float
    ms_per_user_p90: float
    users_per_s: float
    peak_rss_mb: float | None = None
    grown_mb: float | None = None
    device_mb: float | None = None
    equal_to_reference: bool | None = None
    equal_to_torch: bool | None = None
    worst_score_difference: float | None = None
    recall: float | None = None
    stages_ms: dict[str, float] = {}
    gflop_per_user: float | None = None
    gflops: float | None = None
    share_of_product: float | None = None
    counts: dict[str, float] = {}
    extrapolated: bool = False
    note: str = ""


@dataclass(slots=True, eq=False)
class Tally:
    """Turns of one host in one case, as they come in."""

    host: str
    case: Case
    dtype: str
    flops: float | None
    found: list[Found] = field(default_factory=list)
    to_reference: list[Difference] = field(default_factory=list)
    to_torch: list[Difference] = field(default_factory=list)
    note: str = ""

    def row(self, product_flops: float | None) -> Row:
        """The line of the table.  Raises ValueError before the first turn."""
        users, case = self.case.users, self.case
        per_user = [turn.seconds * 1e3 / users for turn in self.found]
        typical = median(per_user)
        differences = [*self.to_reference, *self.to_torch]
        flops = None if self.flops is None else self.flops / (typical / 1e3)
        return Row(
            case=case.kind,
            host=self.host,
            users=users,
            prompt_tokens=max(case.lengths),
            prompt_lengths=list(case.lengths),
            beams=list(case.beams),
            lambdas=list(case.lambdas),
            turns=len(per_user),
            ms_per_user_median=round(typical, 3),
            ms_per_user_p90=round(float(np.percentile(per_user, 90)), 3),
            users_per_s=round(1e3 / typical, 3),
            peak_rss_mb=round(max(turn.peak_rss_mb for turn in self.found), 1),
            grown_mb=round(max(turn.grown_mb for turn in self.found), 1),
            device_mb=_most([turn.device_mb for turn in self.found]),
            equal_to_reference=_all_within(self.to_reference, self.dtype),
            equal_to_torch=_all_within(self.to_torch, self.dtype),
            worst_score_difference=max((one.worst_score for one in differences), default=None),
            recall=min((one.recall for one in differences), default=None),
            stages_ms=_stages([turn.stages_ms for turn in self.found], users),
            gflop_per_user=None if self.flops is None else round(self.flops / 1e9, 4),
            gflops=None if flops is None else round(flops / 1e9, 3),
            share_of_product=None if flops is None or not product_flops else round(flops / product_flops, 4),
            counts=_means([turn.counts for turn in self.found], users),
            extrapolated=any(turn.extrapolated for turn in self.found),
            note=self._note(),
        )

    def _note(self) -> str:
        excused = sum(one.excused for one in self.to_torch)
        tie = f"{excused} of {len(self.to_torch)} lists differ by a tie at IAP's cut" if excused else ""
        return "; ".join(part for part in (self.note, tie) if part)


def _means(turns: Sequence[dict[str, int]], users: int) -> dict[str, float]:
    """Each count per user, over all turns."""
    return {name: round(sum(turn[name] for turn in turns) / len(turns) / users, 2) for name in turns[0]}


def _all_within(differences: Sequence[Difference], dtype: str) -> bool | None:
    return all(one.within(dtype) for one in differences) if differences else None


def _most(values: Iterable[float | None]) -> float | None:
    return max((round(value, 1) for value in values if value is not None), default=None)


def _stages(turns: Sequence[dict[str, float]], users: int) -> dict[str, float]:
    """Each stage's median over the turns, per user."""
    return {name: round(median(turn[name] for turn in turns) / users, 3) for name in turns[0]}
