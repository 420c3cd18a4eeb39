"""What scoring (beam, code) pairs takes and gives; the forms of it differ in device and speed alone.

`pairs_in_torch` runs everywhere and is the plainest; `pairs_on_cpu` and `pairs_on_cuda` fuse the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from contracts.errors import EngineFailed
from model.decoding.beams import Beams
from model.decoding.code_table import CodeTable
from model.decoding.request import DecodePlan
from model.semantic_id.catalog import Int64s

# Shapes: B beams, P pairs, D hidden size.


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some beams of one user with their states [B, D], to be extended by one level.

    dead int64: nodes of the level that lead to no item any more, sorted; least: a pair whose score, rounded to
    float32, lies below it need not be given (-inf: all are wanted).
    """

    plan: DecodePlan
    beams: Beams
    state: Tensor
    table: CodeTable
    dead: Int64s
    least: float


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPairs:
    """Pairs with their scores: row int64 [P] (the part's beam), node int64 [P] of the level.

    iap, rsp float64 [P]: log p and log s; score float64 [P]: the beam's + log s + mix * log p.
    """

    row: Tensor
    node: Tensor
    iap: Tensor
    rsp: Tensor
    score: Tensor


class PairScorer(Protocol):
    """Candidates by IAP inside the trie, the top lambda of them by log p (ties to the lower code), RSP on top."""

    def __call__(self, level: int, parts: Sequence[Part]) -> Sequence[ScoredPairs | EngineFailed]:
        """One answer per part: every pair that its plan lets through and that reaches `least`, in any order.

        EngineFailed where the model's scores are not finite.
        """
        ...
