"""A real Prometheus on loopback, with the repository's rules, on whatever answers at given addresses."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from services.runtime.embedded_redis import free_port
from tests.deploy.monitoring import PROMETHEUS, rule_files

STOP_WITHIN_S = 20
# Often enough that a rate over a minute, and every rule, has data within seconds.
OFTEN = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Asked over its HTTP API."""

    client: httpx.AsyncClient
    url: str

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """What a query gives now; fails where Prometheus does not understand it."""
        answer = await self.client.get(f"{self.url}/api/v1/query", params={"query": query})
        told = answer.json()
        assert told["status"] == "success", f"{query}: {told}"
        result = told["data"]["result"]
        assert isinstance(result, list), query
        return result

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health."""
        answer = await self.client.get(f"{self.url}/api/v1/rules")
        return [rule for group in answer.json()["data"]["groups"] for rule in group["rules"]]

    async def is_ready(self) -> bool:
        """Whether it takes questions."""
        try:
            return (await self.client.get(f"{self.url}/-/ready")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def rewritten(urls: Mapping[str, str]) -> dict[str, object]:
    """The repository's scrape configuration with these addresses; a job whose process does not run is left out."""
    content: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    jobs = [
        {"job_name": job["job_name"], "static_configs": [{"targets": [urlsplit(urls[job["job_name"]]).netloc]}]}
        for job in content["scrape_configs"]
        if job["job_name"] in urls
    ]
    return content | {"global": OFTEN, "rule_files": [str(file) for file in rule_files()], "scrape_configs": jobs}


@contextmanager
def running(directory: Path, urls: Mapping[str, str], client: httpx.AsyncClient) -> Iterator[Prometheus]:
    """Prometheus from Debian's package of that name; ended with the block."""
    assert shutil.which("prometheus"), "prometheus is missing: apt-get install prometheus"
    directory.mkdir()
    config = directory / "prometheus.yml"
    config.write_text(yaml.safe_dump(rewritten(urls)))
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield Prometheus(client, f"http://{address}")
    finally:
        process.terminate()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
