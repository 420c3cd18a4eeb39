"""How much the batched decoder computes at once: what bounds its memory, whatever the widths.

One instance is given to the decoder and handed down to its stages; results do not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Blocks:
    """Sizes in numbers (4 bytes each in float32), per user in flight.

    scores: attention scores and logits of one block of beams or codes; pairs: hidden units of one block of
    (beam, code) pairs, small enough to stay near a core's cache.
    """

    scores: int = 4 * 2**20
    pairs: int = 2**19

    def rows(self, numbers_each: int) -> int:
        """How many rows of that many scores make one block, at least 1."""
        return max(1, self.scores // max(1, numbers_each))

    def pairs_of(self, numbers_each: int) -> int:
        """How many pairs of that many hidden units make one block, at least 1."""
        return max(1, self.pairs // max(1, numbers_each))
