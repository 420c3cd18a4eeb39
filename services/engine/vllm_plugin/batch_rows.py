"""What a V1 logits processor knows of each row of vLLM's batch, as rows come, go and move.

A logits processor holds one and hands it every update, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

Known = TypeVar("Known")


class BatchRows(Generic[Known]):
    """Row number -> what `of` made of its parameters, prompt tokens and output tokens (vLLM's own list, it grows)."""

    def __init__(self, of: Callable[[SamplingParams, Sequence[int], Sequence[int]], Known]) -> None:
        self._of = of
        self._known: dict[int, Known] = {}

    def __getitem__(self, row: int) -> Known | None:
        """None for a row that nobody added."""
        return self._known.get(row)

    def update(self, batch_update: BatchUpdate | None) -> None:
        """Follow one step's changes: rows removed, then added, then moved."""
        if batch_update is None:
            return
        for row in batch_update.removed:
            self._known.pop(row, None)
        for row, params, prompt, output in batch_update.added:
            self._known[row] = self._of(params, prompt or (), output)
        for one, other, direction in batch_update.moved:
            mine, theirs = self._known.pop(one, None), self._known.pop(other, None)
            if mine is not None:
                self._known[other] = mine
            if direction is MoveDirectionality.SWAP and theirs is not None:
                self._known[one] = theirs
