"""How much the decoder computes at once: what bounds its memory, whatever the widths.

One instance is given to the decoder and handed down to its stages; results do not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Blocks:
    """scores, pairs in numbers (4 bytes each in float32), per user in flight.

    scores: attention scores and logits of one block of beams or codes; pairs: hidden units of one block of
    (beam, code) pairs, small enough to stay near a core's cache; beams: of one user, extended in one go (fewer
    waste less work on beams that the next cut would have spared); tokens: new prompt tokens in one pass.
    """

    scores: int = 4 * 2**20
    pairs: int = 2**19
    beams: int = 64
    tokens: int = 2048

    @classmethod
    def on(cls, device: torch.device) -> Blocks:
        """What suits a device: a GPU waits for each go's cut, so it takes more at once."""
        if device.type == "cpu":
            return cls()
        return cls(scores=2**26, pairs=2**26, beams=512, tokens=65_536)

    def rows(self, numbers_each: int) -> int:
        """How many rows of that many scores make one block, at least 1."""
        return max(1, self.scores // max(1, numbers_each))

    def pairs_of(self, numbers_each: int) -> int:
        """How many pairs of that many hidden units make one block, at least 1."""
        return max(1, self.pairs // max(1, numbers_each))
