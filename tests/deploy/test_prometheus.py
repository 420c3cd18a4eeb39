"""Rules and scrape configuration: known metrics, known processes, every alert explained and tried."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

from tests.deploy.monitoring import (
    PROMETHEUS,
    ROOT,
    Rule,
    alerts,
    metrics_in,
    metrics_on_the_page,
    records_in,
    rule_files,
    rules,
)
from tests.deploy.ports import PORTS

RUNBOOK = (ROOT / "docs" / "operate.md").read_text()
CASES = [
    case
    for file in sorted((PROMETHEUS / "tests").glob("*.yml"))
    for case in yaml.safe_load(file.read_text())["tests"]
    for case in case["alert_rule_test"]
]


def test_every_process_is_scraped_where_it_listens() -> None:
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    found = {}
    for job in jobs:
        for discovery in job.get("dns_sd_configs", []):
            found[job["job_name"]] = [f"{name}:{discovery['port']}" for name in discovery["names"]]
            assert discovery["type"] == "A"
        for static in job.get("static_configs", []):
            found[job["job_name"]] = static["targets"]
    assert found.pop("prometheus") == ["localhost:9090"]
    assert found == {name: [f"{name}:{port}"] for name, port in PORTS.items()}


def test_the_configuration_with_keys_is_the_other_one_and_shows_the_key_of_the_mounted_file_to_every_process() -> None:
    open_, closed = (
        yaml.safe_load((PROMETHEUS / name).read_text()) for name in ("prometheus.yml", "prometheus-keys.yml")
    )
    shown = {"type": "Bearer", "credentials_file": "/keys/metrics.key"}
    own = [job["job_name"] for job in closed["scrape_configs"] if job.pop("authorization", None) != shown]
    assert own == ["prometheus"]
    assert closed == open_


def test_compose_has_the_services_that_are_scraped() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {"trigger", "retrieval", "engine", "history", "precompute", "samples"} <= set(services)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.alert or rule.record)
def test_every_metric_of_a_rule_is_one_that_a_process_has(rule: Rule) -> None:
    assert metrics_in(rule.expr) <= metrics_on_the_page()
    assert records_in(rule.expr) <= {one.record for one in rules()}


def test_every_recorded_series_is_read_by_an_alert_or_a_panel() -> None:
    panels = "".join(file.read_text() for file in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
    read = records_in(panels).union(*(records_in(rule.expr) for rule in rules()))
    assert {rule.record for rule in rules() if rule.record} == read


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.alert)
def test_every_alert_says_what_it_means_and_where_to_read_on(alert: Rule) -> None:
    assert alert.labels["severity"] in ("page", "ticket")
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert alert.annotations["runbook_url"] == f"docs/operate.md#{alert.alert.lower()}"
    section = re.search(rf"^### {alert.alert}$\n+(.+?)(?=^#|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert section, f"docs/operate.md has no section {alert.alert}"
    for word in ("**Means**", "**Look**", "**Do**"):
        assert word in section[1], f"{alert.alert}: {word}"


def test_the_runbook_has_no_alert_that_is_none() -> None:
    assert set(re.findall(r"^### (RankGR\w+)$", RUNBOOK, re.MULTILINE)) == {alert.alert for alert in alerts()}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.alert)
def test_every_alert_is_tried_firing_and_quiet(alert: Rule) -> None:
    cases = [bool(case["exp_alerts"]) for case in CASES if case["alertname"] == alert.alert]
    assert set(cases) == {True, False}


def promtool(*words: object) -> subprocess.CompletedProcess[str]:
    """Debian's package `prometheus` brings it."""
    assert shutil.which("promtool"), "promtool is missing: apt-get install prometheus"
    return subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.heavy
def test_promtool_accepts_configuration_and_rules() -> None:
    for words in (
        ("config", PROMETHEUS / "prometheus.yml"),
        # The file of the key is where compose mounts it.
        ("config", "--syntax-only", PROMETHEUS / "prometheus-keys.yml"),
        ("rules", *rule_files()),
    ):
        checked = promtool("check", *words)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.heavy
@pytest.mark.parametrize("file", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda file: file.stem)
def test_promtool_finds_every_alert_as_it_should_be(file: object) -> None:
    tried = promtool("test", "rules", file)
    assert tried.returncode == 0, tried.stdout + tried.stderr
