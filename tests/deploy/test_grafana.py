"""Grafana's files, without a Grafana: the fields that it needs, one data source, nothing on top of something else."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import yaml

from tests.deploy.monitoring import (
    ROOT,
    Dashboard,
    Panel,
    dashboards,
    filled_in,
    metrics_in,
    metrics_on_the_page,
    records_in,
    rules,
)

PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
SOURCE = {"type": "prometheus", "uid": "rankgr-prometheus"}
UNITS = {"none", "s", "percentunit", "reqps", "ops", "bytes"}
BOARDS = pytest.mark.parametrize("file", sorted(dashboards()))


def test_the_data_source_is_the_prometheus_of_the_stack() -> None:
    content = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())
    assert content["apiVersion"] == 1
    [source] = content["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == SOURCE
    assert source["url"] == "http://prometheus:9090"
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scraped["scrape_interval"]


def test_dashboards_are_read_from_where_they_are_mounted() -> None:
    content = yaml.safe_load((PROVISIONING / "dashboards" / "rankgr.yml").read_text())
    assert content["apiVersion"] == 1
    [provider] = content["providers"]
    assert (provider["type"], Path(provider["options"]["path"]).name) == ("file", "dashboards")


def test_the_three_dashboards_keep_their_addresses() -> None:
    assert {one.uid: file for file, one in dashboards().items()} == {
        "rankgr-request-path": "rankgr-request-path.json",
        "rankgr-engine": "rankgr-engine.json",
        "rankgr-learning": "rankgr-learning.json",
    }


def panels_of(one: Dashboard) -> list[Panel]:
    return [panel for panel in one.panels if panel.type != "row"]


@BOARDS
def test_every_panel_has_a_title_a_unit_a_description_and_asks_the_one_source(file: str) -> None:
    board = dashboards()[file]
    assert board.schemaVersion >= 36
    for panel in panels_of(board):
        assert panel.type in ("timeseries", "stat", "table"), panel.title
        assert panel.description.endswith("."), panel.title
        defaults = panel.fieldConfig["defaults"]
        assert isinstance(defaults, dict)
        assert defaults["unit"] in UNITS, panel.title
        assert panel.targets, panel.title
        assert panel.datasource == SOURCE, panel.title
        assert all(target.datasource == SOURCE for target in panel.targets), panel.title
        assert len({target.refId for target in panel.targets}) == len(panel.targets), panel.title
        # Several lines in one panel need names.
        assert len(panel.targets) == 1 or all(target.legendFormat for target in panel.targets), panel.title
    assert all(variable.datasource == SOURCE for variable in board.templating["list"])


@BOARDS
def test_no_two_panels_share_an_id_a_title_or_a_cell(file: str) -> None:
    board = dashboards()[file]
    assert len({panel.id for panel in board.panels}) == len(board.panels)
    titles = [panel.title for panel in board.panels if panel.type == "row"]
    assert len(set(titles)) == len(titles)
    for one, other in combinations(board.panels, 2):
        assert not one.gridPos.overlaps(other.gridPos), f"{one.title}, {other.title}"
    for panel in board.panels:
        assert panel.gridPos.x + panel.gridPos.w <= 24, panel.title


@BOARDS
def test_every_query_asks_for_what_a_process_has_or_a_rule_records(file: str) -> None:
    board = dashboards()[file]
    recorded = {rule.record for rule in rules()}
    asked = [target.expr for panel in board.panels for target in panel.targets]
    asked += [variable.definition for variable in board.templating["list"]]
    asked += [str(one["expr"]) for one in board.annotations["list"]]
    for expr in asked:
        assert metrics_in(expr) <= metrics_on_the_page(), expr
        assert records_in(expr) <= recorded, expr
        filled_in(expr)
