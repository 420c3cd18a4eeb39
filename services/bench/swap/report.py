"""The figures of a run, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from services.bench.swap.load import Asked, longest_pause_ms


@dataclass(frozen=True, slots=True)
class Stretch:
    """Requests of some time: how many, how long they took, the longest pause among them."""

    requests: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    pause_ms: float

    @classmethod
    def of(cls, asked: Sequence[Asked]) -> Stretch:
        """Over these requests."""
        took_ms = np.array([(one.answered_s - one.sent_s) * 1000 for one in asked] or [0.0])
        p50, p99 = np.quantile(took_ms, (0.5, 0.99)).tolist()
        return cls(len(asked), round(p50, 2), round(p99, 2), round(float(took_ms.max()), 2), _ms(asked))


@dataclass(frozen=True, slots=True)
class Swap:
    """One swap.  `seconds`: from the command to the first answer of the new model.

    `whole`: every request from the command until a second after that answer; `switch_pause_ms`: the longest pause
    within a quarter of a second around it.
    """

    kind: str
    seconds: float
    whole: Stretch
    switch_pause_ms: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run: `dropped` requests had no answer or a refusal, `mixed` named two models or one that was not there."""

    machine: dict[str, str | int | float]
    shape: dict[str, str | int | float]
    quiet: Stretch
    swaps: Sequence[Swap]
    requests: int
    dropped: int
    mixed: int
    rss_mb: tuple[float, float]
    """The engine's memory before the first swap and after the last."""
    stages_s: dict[str, float]
    """Mean time of each stage of a swap, as the engine counts it."""

    def content(self) -> dict[str, object]:
        """For JSON."""
        worst = {
            kind: {
                "seconds_max": max(swap.seconds for swap in of),
                "pause_ms_max": max(swap.switch_pause_ms for swap in of),
            }
            for kind in dict.fromkeys(swap.kind for swap in self.swaps)
            if (of := [swap for swap in self.swaps if swap.kind == kind])
        }
        return asdict(self) | {"worst": worst}

    def page(self) -> str:
        """For people."""
        lines = [
            f"{self.requests:,} requests, {self.dropped} dropped, {self.mixed} mixed; "
            f"memory {self.rss_mb[0]:.0f} -> {self.rss_mb[1]:.0f} MB",
            "mean seconds: " + ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in self.stages_s.items()),
            "",
            "| | seconds to the first answer | longest pause at the switch, ms | longest pause, ms | p50 ms | p99 ms |",
            "|---|---|---|---|---|---|",
            f"| quiet | | | {self.quiet.pause_ms:.1f} | {self.quiet.p50_ms:.1f} | {self.quiet.p99_ms:.1f} |",
        ]
        for swap in self.swaps:
            whole = swap.whole
            lines.append(
                f"| {swap.kind} | {swap.seconds:.2f} | {swap.switch_pause_ms:.1f} | {whole.pause_ms:.1f} "
                f"| {whole.p50_ms:.1f} | {whole.p99_ms:.1f} |"
            )
        return "\n".join(lines)


def _ms(asked: Sequence[Asked]) -> float:
    return round(longest_pause_ms(asked), 2)
