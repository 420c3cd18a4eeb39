"""How long an event stream waits and how much it keeps; the same words for every adapter."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

# What failed together does not come back together: up to so much of a retry's delay is added by chance.
JITTER = 0.5


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """When to deliver again, and when to forget.

    `retry_after_s`: a delivery that its member neither settled nor gave back is due again after this time, so it must
    be longer than an effect may take.  `retry_delay_s`: one that was given back is due after this time, or up to half
    of it later.  How much is kept is said to Redis here, and to Kafka where its topics are made: `keep_acknowledged`:
    a topic longer than this loses messages that every group has acknowledged, oldest first.  `keep_at_most`: a topic
    never grows beyond about this many messages; above it the oldest go, acknowledged or not, and the log says so:
    size it for the longest outage of a consumer that must not lose anything.
    """

    retry_after_s: float = 30.0
    retry_delay_s: float = 1.0
    keep_acknowledged: int = 100_000
    keep_at_most: int = 1_000_000
    keep_dead_letters: int = 10_000

    def __post_init__(self) -> None:
        if not 0 <= self.retry_delay_s <= self.retry_after_s:
            raise ValueError("retry_delay_s must lie between 0 and retry_after_s")

    def jittered_delay_s(self, random: Random) -> float:
        """How long something that is given back now has to wait."""
        return min(self.retry_after_s, self.retry_delay_s * (1 + JITTER * random.random()))
