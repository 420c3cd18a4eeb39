"""What is stored and asked for in every case of the benchmark."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from contracts.candidate_set import Candidate, CandidateSet
from contracts.ids import ItemId, RequestId, UserId

MODEL, CATALOG, REQUEST = "m-20261124-0001", "c-20261124-0001", RequestId("r-1")


@dataclass(frozen=True, slots=True)
class Shape:
    """So many users, each with a list of two-level semantic ids."""

    users: int = 200
    items: int = 1400
    page: int = 50
    connections: int = 64

    def lists(self, now_ms: int) -> Iterator[CandidateSet]:
        """A list per user: ids uniform in 2^31, scores uniform in -10 to 0.  The same on every run but for the time."""
        draw = random.Random(0)
        for user in range(self.users):
            items = [
                Candidate(
                    ItemId(draw.randrange(2**31)), -10 * draw.random(), (draw.randrange(8192), draw.randrange(8192))
                )
                for _ in range(self.items)
            ]
            yield CandidateSet(
                UserId(str(user)), REQUEST, now_ms - 60, now_ms, MODEL, CATALOG, tuple(sorted(items, key=_order))
            )


def _order(one: Candidate) -> float:
    return -one.score
