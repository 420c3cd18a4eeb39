"""Where the trainer's weights come from, and what became of its publications; kept with every checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from model.training.incremental.checkpoint import Told


@dataclass(frozen=True, slots=True)
class Lineage:
    """`base`: the version of the store that the weights grew from, and `weights` the sha256 of its weights' file.

    candidate: what is being published; where it turns out to serve, it is ours, whoever was killed meanwhile.
    tried_samples: how many samples the weights had learnt from when they were last offered; tried_at_ms: when, Unix
    ms.  refusals: in a row.
    """

    base: str
    weights: str
    candidate: str | None = None
    tried_samples: int = 0
    tried_at_ms: int = 0
    refusals: int = 0

    def told(self) -> Told:
        """As a checkpoint keeps it."""
        return {
            "base": self.base,
            "weights": self.weights,
            "candidate": self.candidate,
            "tried_samples": self.tried_samples,
            "tried_at_ms": self.tried_at_ms,
            "refusals": self.refusals,
        }

    @classmethod
    def of(cls, told: Told) -> Lineage:
        """What `told` gave."""
        candidate = told.get("candidate")
        return cls(
            base=str(told["base"]),
            weights=str(told["weights"]),
            candidate=None if candidate is None else str(candidate),
            tried_samples=int(told["tried_samples"] or 0),
            tried_at_ms=int(told["tried_at_ms"] or 0),
            refusals=int(told["refusals"] or 0),
        )
