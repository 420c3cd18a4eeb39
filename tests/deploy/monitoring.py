"""deploy/prometheus and deploy/grafana as typed values: rules, alerts, and every query of every panel."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
# Grafana's own variables, and ours, as a browser on the last hour would fill them in.
FILLED_IN = {"$__rate_interval": "1m", "$instance": ".*"}
SUFFIX = re.compile(r"_(total|bucket|sum|count)$")


class Strict(BaseModel):
    """Unknown keys are refused: Prometheus would refuse them too."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(Strict):
    """A recording rule or an alert."""

    record: str = ""
    alert: str = ""
    expr: str
    hold: str = Field(default="0m", alias="for")
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Group(Strict):
    """Rules that are evaluated together."""

    name: str
    rules: list[Rule]


class RuleFile(Strict):
    """One file of rules."""

    groups: list[Group]


def rules() -> list[Rule]:
    """Every rule of every file."""
    files = [RuleFile.model_validate(yaml.safe_load(file.read_text())) for file in rule_files()]
    return [rule for file in files for group in file.groups for rule in group.rules]


def rule_files() -> list[Path]:
    """Where they stand."""
    return sorted((PROMETHEUS / "rules").glob("*.yml"))


def alerts() -> list[Rule]:
    """Those that call somebody."""
    return [rule for rule in rules() if rule.alert]


class Target(BaseModel):
    """One query of a panel."""

    refId: str
    expr: str = Field(min_length=1)
    legendFormat: str
    datasource: dict[str, str]


class Place(Strict):
    """Where a panel stands in Grafana's grid of 24 columns."""

    x: int = Field(ge=0)
    y: int = Field(ge=0)
    w: int = Field(gt=0, le=24)
    h: int = Field(gt=0)

    def overlaps(self, other: Place) -> bool:
        """Whether they share a cell."""
        across = self.x < other.x + other.w and other.x < self.x + self.w
        return across and self.y < other.y + other.h and other.y < self.y + self.h


class Panel(BaseModel):
    """A panel or a row."""

    id: int
    type: str
    title: str = Field(min_length=1)
    description: str = ""
    datasource: dict[str, str] = {}
    gridPos: Place
    fieldConfig: dict[str, object] = {}
    targets: list[Target] = []


class Variable(BaseModel):
    """A variable that Grafana fills in from a query."""

    name: str
    type: str
    definition: str
    datasource: dict[str, str]


class Dashboard(BaseModel):
    """What these tests read of a dashboard."""

    uid: str
    title: str
    schemaVersion: int
    panels: list[Panel]
    templating: dict[str, list[Variable]]
    annotations: dict[str, list[dict[str, object]]]


def dashboards() -> dict[str, Dashboard]:
    """File name -> dashboard."""
    return {file.name: Dashboard.model_validate(json.loads(file.read_text())) for file in DASHBOARDS.glob("*.json")}


def panel_queries() -> Iterator[tuple[str, str]]:
    """`dashboard: panel, query` and the query as Prometheus is asked."""
    for one in dashboards().values():
        for panel in one.panels:
            for target in panel.targets:
                yield f"{one.uid}: {panel.title}, {target.refId}", filled_in(target.expr)


def filled_in(expr: str) -> str:
    """A query without Grafana's variables."""
    for variable, value in FILLED_IN.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, expr
    return expr


def metrics_in(expr: str) -> set[str]:
    """Names of ours in a query, as docs/metrics.md spells them."""
    return {SUFFIX.sub("", name) for name in re.findall(r"(?<![\w:])rankgr_\w+", expr)}


def records_in(expr: str) -> set[str]:
    """Recorded series in a query."""
    return set(re.findall(r"rankgr:[a-z0-9_:]+", expr))


def metrics_on_the_page() -> set[str]:
    """What docs/metrics.md names."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    return set(re.findall(r"^\| `(rankgr_\w+)`", page, re.MULTILINE))
