"""The figures of a run, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from contracts.errors import BadRequest
from services.simulate.arm import Name
from services.simulate.measure import Estimate, Outcome, Recovered

UPDATES = 3
AIM = 0.8


@dataclass(frozen=True, slots=True)
class Report:
    """`run`: what was asked for.  `seconds`: how long each part took.  `learning`: what the trainer was told."""

    machine: Mapping[str, str | int | float]
    run: Mapping[str, str | int | float | bool]
    learning: Mapping[str, str | int | float]
    seconds: Mapping[str, float]
    outcome: Outcome

    @property
    def verdict(self) -> Recovered | None:
        """What the arm with updates has back after three of them; None where the run was shorter."""
        try:
            return self.outcome.after(UPDATES)
        except BadRequest:
            return None

    def content(self) -> dict[str, object]:
        """For JSON."""
        verdict = self.verdict
        return asdict(self) | {"recovered_after_three_updates": None if verdict is None else asdict(verdict)}

    def page(self) -> str:
        """For people."""
        outcome = self.outcome
        lines = ["| period | " + " | ".join(name.value for name in Name) + " | recovered of r | recovered of h0 |"]
        lines.append("|---" * (len(Name) + 3) + "|")
        for period in sorted({one.period for one in outcome.rates}):
            cells = [self._cell(period, name) for name in Name]
            found = [one for one in outcome.recovered if one.arm is Name.UPDATES and one.period == period]
            shares = [_share(one) for one in (found[0].of_ceiling, found[0].of_before)] if found else ["", ""]
            lines.append(f"| {period} | " + " | ".join([*cells, *shares]) + " |")
        lines += [
            "",
            f"h0 {_rate(outcome.before)}, h1 {_rate(outcome.fallen)}, r {_rate(outcome.ceiling)}",
            self._said(),
        ]
        return "\n".join(lines)

    def _cell(self, period: int, name: Name) -> str:
        found = [one for one in self.outcome.rates if one.arm is name and one.period == period]
        return _rate(found[0].rate) if found else ""

    def _said(self) -> str:
        verdict = self.verdict
        if verdict is None:
            return f"fewer than {UPDATES} updates after the change: nothing is said about recovery"
        without = self.outcome.after(UPDATES, Name.FROZEN)
        return (
            f"after {UPDATES} updates {_share(verdict.of_ceiling)} of the loss to the ceiling is recovered, "
            f"{_share(verdict.of_before)} of the loss to before; without updates {_share(without.of_ceiling)}"
        )


def _rate(one: Estimate) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def _share(one: Estimate) -> str:
    return f"{one.value:.0%} ({one.low:.0%} to {one.high:.0%})"
