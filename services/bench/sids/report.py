"""What a run says: JSON for machines, a table for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from model.semantic_id.settings import SidSettings
from services.bench.sids.run import Measured


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run, where it ran and what was asked of it."""

    machine: dict[str, str | int | float]
    items: int
    settings: SidSettings
    measured: Measured

    @property
    def seconds(self) -> float:
        """All stages together."""
        return round(sum(row.seconds for row in self.measured.rows), 2)

    @property
    def peak_rss_mb(self) -> float:
        """Most memory of any stage, the vectors included."""
        return max(row.peak_rss_mb for row in self.measured.rows)

    def content(self) -> dict[str, object]:
        """One JSON object."""
        return {
            "machine": self.machine,
            "shape": {"items": self.items, **self.settings.as_json()},
            "rows": [asdict(row) for row in self.measured.rows],
            "seconds": self.seconds,
            "peak_rss_mb": self.peak_rss_mb,
            "before": self.measured.collisions_before,
            "after": self.measured.report,
            "moved": self.measured.moved,
            "lost": self.measured.lost,
            "lost_settled": self.measured.lost_settled,
        }

    def page(self) -> str:
        """A page of Markdown."""
        settings, measured = self.settings, self.measured
        sizes = "x".join(map(str, settings.level_sizes))
        lines = [
            f"{self.items:,} items x {settings.dims} dimensions, {settings.method} {sizes}, cap {settings.cap}:",
            f"{self.seconds:.0f} s, {self.peak_rss_mb / 1024:.2f} GiB",
            "",
            "| stage | s | CPU s | peak MiB |",
            "|---|---|---|---|",
            *(f"| {r.stage} | {r.seconds:.1f} | {r.cpu_seconds:.1f} | {r.peak_rss_mb:,.0f} |" for r in measured.rows),
            "",
            f"items moved: {measured.moved:,}; unexplained: {measured.lost:.4f}, then {measured.lost_settled:.4f}",
            "",
            ", ".join(f"{name} {value}" for name, value in self.machine.items()),
        ]
        return "\n".join(lines)
