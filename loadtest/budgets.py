"""What a load test must keep: each scenario's budgets from a TOML file, and the check of a run against them.

The locust files call it before and after a run; measures nothing itself.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    RootModel,
    ValidationError,
)

from loadtest.timeline import Kind, Row, Timeline

FRESH = Row(Kind.LIST, "fresh")
READY = Row(Kind.MASKING, "ready")
SENDING = Row(Kind.LATENESS, "sent late")
# "At the end" is the last fifth of a run: whatever happened in its middle should be over by then.
END_SHARE = 0.2


class RequestBudget(BaseModel):
    """Of one kind of request: its slowest hundredth, and the shares that may fail or be told to come again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p99_ms: PositiveFloat
    failure_share: float = Field(ge=0, le=1)
    refused_share: float = Field(default=0.0, ge=0, le=1)


class ListBudget(BaseModel):
    """Of the lists that first pages got.

    `ready_share`: lists that were there when they were asked for.  `fresh_share_at_end`: of the run's last fifth.
    `longest_silence_s`: seconds in a row without any list.  `not_fresh_at_least`: a fault that no list felt tests
    nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fresh_share: float = Field(ge=0, le=1)
    ready_share: float = Field(default=0.0, ge=0, le=1)
    fresh_share_at_end: float = Field(default=0.0, ge=0, le=1)
    longest_silence_s: PositiveInt | None = None
    not_fresh_at_least: NonNegativeInt = 0


class SendingBudget(BaseModel):
    """Of a trace's rows: how late the slowest hundredth may be sent.  Later than that, it was another load."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p99_late_ms: PositiveFloat


class Budgets(BaseModel):
    """One scenario's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: dict[str, RequestBudget] = Field(min_length=1)
    lists: ListBudget
    sending: SendingBudget | None = None


class _File(RootModel[dict[str, Budgets]]):
    """A budgets file: a table per scenario."""


class BadBudgets(Exception):
    """A budgets file that cannot be used; the message says where."""


def read_budgets(path: Path, scenario: str) -> Budgets:
    """The whole file is checked, this scenario's part returned.  Raises BadBudgets with one line."""
    try:
        found = _File.model_validate(tomllib.loads(path.read_text())).root
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadBudgets(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadBudgets(f"{path}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
    if scenario not in found:
        raise BadBudgets(f"{path}: no budgets for scenario {scenario}; it has {', '.join(found) or 'none'}")
    return found[scenario]


@dataclass(frozen=True, slots=True)
class Check:
    """One budget held against a run."""

    what: str
    found: str
    budget: str
    kept: bool

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.what}: {self.found}, budget {self.budget}"


def checks(budgets: Budgets, run: Timeline) -> list[Check]:
    """Every budget with what was found; a kind of request that never came keeps none."""
    found: list[Check] = []
    for name, budget in budgets.requests.items():
        found += _of_request(name, budget, run)
    found += _of_lists(budgets.lists, run)
    if budgets.sending is not None:
        allowed_ms, late = budgets.sending.p99_late_ms, run.measured(SENDING)
        # Not a number, where no row was sent: then nothing is kept.
        found.append(
            Check("sending", f"p99 {late.p99_ms:.0f} ms late", f"{allowed_ms:.0f} ms", late.p99_ms <= allowed_ms)
        )
    return found


def overruns(budgets: Budgets, run: Timeline) -> list[str]:
    """One line per budget that was not kept."""
    return [check.line for check in checks(budgets, run) if not check.kept]


def _of_request(name: str, budget: RequestBudget, run: Timeline) -> list[Check]:
    row = run.measured(Row(Kind.REQUEST, name))
    if row.count == 0:
        return [Check(name, "no request was made", "some", kept=False)]
    failed_kept = row.failures <= budget.failure_share * row.count
    refused_kept = row.refused <= budget.refused_share * row.count
    return [
        Check(name, f"p99 {row.p99_ms:.0f} ms", f"{budget.p99_ms:.0f} ms", row.p99_ms <= budget.p99_ms),
        Check(name, f"{row.failures} of {row.count} failed", f"{budget.failure_share:.2%}", failed_kept),
        Check(name, f"{row.refused} of {row.count} refused", f"{budget.refused_share:.2%}", refused_kept),
    ]


def _of_lists(budget: ListBudget, run: Timeline) -> list[Check]:
    rows = run.rows(Kind.LIST)
    served, fresh = sum(run.count(row) for row in rows), run.count(FRESH)
    if served == 0:
        return [Check("lists", "none was served", "some", kept=False)]
    kept = fresh >= budget.fresh_share * served
    found = [Check("lists", f"{fresh} of {served} fresh", f"{budget.fresh_share:.2%}", kept)]
    if budget.ready_share:
        ready = run.share(READY)
        found.append(
            Check(
                "lists", f"{ready:.2%} ready when asked for", f"{budget.ready_share:.2%}", ready >= budget.ready_share
            )
        )
    if budget.fresh_share_at_end:
        at_end, wanted = run.share(FRESH, last_seconds(run)), budget.fresh_share_at_end
        found.append(Check("lists", f"{at_end:.2%} fresh at the end", f"{wanted:.2%}", at_end >= wanted))
    if budget.longest_silence_s is not None:
        silence_s, allowed_s = longest_silence_s(run), budget.longest_silence_s
        found.append(Check("lists", f"none for {silence_s} s", f"{allowed_s} s", silence_s <= allowed_s))
    if budget.not_fresh_at_least:
        unfresh, least = served - fresh, budget.not_fresh_at_least
        found.append(
            Check("lists", f"{unfresh} were not fresh", f"at least {least}, or no fault was felt", unfresh >= least)
        )
    return found


def last_seconds(run: Timeline) -> range:
    """The seconds that count as the run's end."""
    span = run.span()
    return span[-max(1, round(len(span) * END_SHARE)) :]


def longest_silence_s(run: Timeline) -> int:
    """The most whole seconds in a row in which no list came, from the first list to the end of the run."""
    seconds = sorted({second for row in run.rows(Kind.LIST) for second in run.cells[row]})
    ends = [*seconds, run.span().stop] if seconds else []
    return max((later - earlier - 1 for earlier, later in pairwise(ends)), default=0)
