"""What a load test must keep: budgets from a TOML file, and the check of measured rows against them.

The locust file calls it at the end of a run; measures nothing itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

FRESH = "fresh"


class RequestBudget(BaseModel):
    """Of one kind of request: its slowest hundredth, and the share that may fail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p99_ms: PositiveFloat
    failure_share: float = Field(ge=0, le=1)


class ListBudget(BaseModel):
    """Of the lists that first pages got: at least so many fresh."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fresh_share: float = Field(ge=0, le=1)


class Budgets(BaseModel):
    """A budgets file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: dict[str, RequestBudget] = Field(min_length=1)
    lists: ListBudget


class BadBudgets(Exception):
    """A budgets file that cannot be used; the message says where."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One kind of request, or one outcome of a list: times in milliseconds."""

    name: str
    count: int
    failures: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def read_budgets(path: Path) -> Budgets:
    """Raises BadBudgets with one line."""
    try:
        return Budgets.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadBudgets(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadBudgets(f"{path}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


def overruns(budgets: Budgets, requests: Mapping[str, Measured], lists: Mapping[str, Measured]) -> list[str]:
    """One line per budget that was not kept; a kind of request that never came keeps none."""
    lines: list[str] = []
    for name, budget in budgets.requests.items():
        row = requests.get(name)
        if row is None or row.count == 0:
            lines.append(f"{name}: no request was made")
            continue
        if row.p99_ms > budget.p99_ms:
            lines.append(f"{name}: p99 {row.p99_ms:.0f} ms, budget {budget.p99_ms:.0f} ms")
        if row.failures > budget.failure_share * row.count:
            lines.append(f"{name}: {row.failures} of {row.count} failed, budget {budget.failure_share:.2%}")
    served = sum(row.count for row in lists.values())
    fresh = lists[FRESH].count if FRESH in lists else 0
    if served == 0 or fresh < budgets.lists.fresh_share * served:
        lines.append(f"lists: {fresh} of {served} fresh, budget {budgets.lists.fresh_share:.2%}")
    return lines
