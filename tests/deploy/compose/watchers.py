"""Whoever watches the stack: the console's system page sees every process, Prometheus scrapes every target."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx
import yaml

from tests.deploy.compose.containers import ROOT, NotInTime, wait_for
from tests.deploy.compose.shop import shown
from tests.deploy.compose.transcript import Transcript

SEEN_WITHIN_S = 90.0
PROCESSES = {"trigger", "retrieval", "engine", "history", "precompute", "samples", "trainer"}


@dataclass(frozen=True, slots=True)
class Watchers:
    """`precomputes`: Prometheus finds each of them, the console asks whichever the name leads to."""

    console_url: str
    prometheus_url: str
    transcript: Transcript
    precomputes: int
    key: str | None = None

    def __call__(self, without: frozenset[str]) -> None:
        self.transcript.section("Console and Prometheus")
        if "console" not in without:
            self._console()
        if "prometheus" not in without:
            self._prometheus(without)

    def _console(self) -> None:
        page = httpx.get(f"{self.console_url}/")
        is_page = page.status_code == httpx.codes.OK and page.headers["content-type"].startswith("text/html")
        self.transcript.check("the console answers with its page", is_page, f"{page.status_code}")
        ready: dict[str, str | None] = {}

        def all_ready() -> bool:
            ready.clear()
            ready.update(processes_on(self.console_url, self.key))
            return set(ready) >= PROCESSES and not any(ready.values())

        self._seen("its system page sees every process, each of them ready", all_ready, ready)

    def _prometheus(self, without: frozenset[str]) -> None:
        up: dict[str, str] = {}
        jobs = Counter(jobs_of_the_file() - without)
        jobs["precompute"] *= self.precomputes

        def all_up() -> bool:
            up.clear()
            up.update(targets_of(self.prometheus_url))
            return Counter(name.split()[0] for name in up) == jobs and set(up.values()) == {"up"}

        self._seen("Prometheus scrapes every target", all_up, up)
        rules: Counter[str] = Counter()

        def all_evaluated() -> bool:
            rules.clear()
            rules.update(rules_of(self.prometheus_url))
            return set(rules) == {"ok"}

        self._seen("Prometheus evaluates every rule and alert", all_evaluated, rules)

    def _seen(self, what: str, look: Callable[[], bool], found: Mapping[str, object]) -> None:
        try:
            wait_for(look, SEEN_WITHIN_S)
        except NotInTime:
            self.transcript.check(what, False, dict(found))
        else:
            self.transcript.check(what, True, found["ok"] if "ok" in found else ", ".join(sorted(found)))


def processes_on(console_url: str, key: str | None = None) -> dict[str, str | None]:
    """Each process that the system page shows, and why it is not ready; None: it is."""
    with httpx.stream("GET", f"{console_url}/api/system/live", headers=shown(key), timeout=20.0) as events:
        for line in events.iter_lines():
            if line.startswith("data:"):
                found = json.loads(line.removeprefix("data:")).get("processes", [])
                return {one["name"]: None if one["ready"] else one["why"] or "not ready" for one in found}
    return {}


def jobs_of_the_file() -> set[str]:
    """The jobs that deploy/prometheus/prometheus.yml names."""
    told = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    return {job["job_name"] for job in told["scrape_configs"]}


def targets_of(prometheus_url: str) -> dict[str, str]:
    """`job instance` of each target, and its health: up, down or unknown."""
    found = httpx.get(f"{prometheus_url}/api/v1/targets", params={"state": "active"}).json()["data"]["activeTargets"]
    return {f"{one['labels']['job']} {one['labels']['instance']}": one["health"] for one in found}


def rules_of(prometheus_url: str) -> Counter[str]:
    """How many rules are in which health: ok, err or unknown."""
    groups = httpx.get(f"{prometheus_url}/api/v1/rules").json()["data"]["groups"]
    return Counter(rule["health"] for group in groups for rule in group["rules"])
