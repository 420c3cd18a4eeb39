"""One user's list as a host gave it, and whether two hosts gave the same one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# What float32 arithmetic in another order may change in a sum of log scores; of the score itself where it is large,
# as sums of log p are.
SCORE_TOLERANCE = 1e-5
# Log p of a random network: logits reach 40 and multiply what other kernels round otherwise in the states.
PLAIN_TOLERANCE = 5e-3
# Share of a float32 list that a bfloat16 one must find again.
BFLOAT16_RECALL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """Best first: codes int32 [K, M], score float64 [K]."""

    codes: npt.NDArray[np.int32]
    score: npt.NDArray[np.float64]

    def by_sid(self) -> dict[tuple[int, ...], float]:
        """Scores by semantic id."""
        rows: list[list[int]] = self.codes.tolist()
        return dict(zip(map(tuple, rows), self.score.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a list is from the one it should be.

    strangers: ids that only one of the two holds, other than near-ties at a cut; worst_score: the greatest
    difference of a common id's score, divided by the score where that is beyond 1; recall: share of the other's ids
    that were found; excused: whether a tie at IAP's cut had to be allowed for.
    """

    strangers: int
    worst_score: float
    recall: float
    tolerance: float = SCORE_TOLERANCE
    excused: bool = False

    def within(self, dtype: str) -> bool:
        """Whether the lists count as equal for hosts that compute in this dtype."""
        if dtype == "bfloat16":
            return self.recall >= BFLOAT16_RECALL
        return self.strangers == 0 and self.worst_score <= self.tolerance


def compare(
    mine: Listed, wanted: Listed, tolerance: float = SCORE_TOLERANCE, tied: frozenset[int] = frozenset()
) -> Difference:
    """Sets and scores; order is not compared, for near-ties may swap.

    tied: first codes at IAP's cut (`iap_cut`).  Ids below them may stand in one list alone, and then the other goes
    further down.
    """
    ours, theirs = mine.by_sid(), wanted.by_sid()
    common = ours.keys() & theirs.keys()
    # Where a list was cut, ids whose scores are as good as equal, or lower, may be missing from it.
    cut = min(ours.values(), default=0.0), min(theirs.values(), default=0.0)
    above = [_above(score, cut[1]) for sid, score in ours.items() if sid not in theirs and sid[0] not in tied]
    above += [_above(score, cut[0]) for sid, score in theirs.items() if sid not in ours and sid[0] not in tied]
    strangers = sum(distance > tolerance for distance in above)
    if len(ours) != len(theirs) or len(ours) != len(mine.score):
        # A list that is shorter, or says the same id twice, has no excuse at the cut.
        strangers = max(strangers, 1)
    return Difference(
        strangers=strangers,
        worst_score=max((_apart(ours[sid], theirs[sid]) for sid in common), default=0.0),
        recall=len(common) / len(theirs) if theirs else 1.0,
        tolerance=tolerance,
        excused=bool(tied) and strangers == 0,
    )


def _above(score: float, cut: float) -> float:
    return (score - cut) / max(1.0, abs(cut))


def _apart(score: float, other: float) -> float:
    return abs(score - other) / max(1.0, abs(other))
