"""The list that precompute writes and retrieval reads."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.ids import ItemId, RequestId, UserId

MAX_ITEMS = 1400
MAX_WAIT_MS = 5000


@dataclass(frozen=True, slots=True)
class Candidate:
    """One recommended item: the higher the score, the better; score = sum over levels of log s (eq. 18)."""

    item_id: ItemId
    score: float
    sid: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """Items for one request of one user, best first.  Times are Unix milliseconds."""

    user_id: UserId
    request_id: RequestId
    triggered_at: int
    generated_at: int
    model_version: str
    catalog_version: str
    items: tuple[Candidate, ...]
