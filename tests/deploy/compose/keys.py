"""A stack that asks for keys: the files that docs/compose.md says, and what is held to them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.deploy.compose.containers import ROOT, NotInTime, wait_for
from tests.deploy.compose.shop import Shop, shown
from tests.deploy.compose.transcript import Transcript

REVOKED_WITHIN_S = 10.0
OWN_SCOPES = "trigger,retrieve,engine,metrics"


@dataclass(frozen=True, slots=True)
class Keys:
    """`own`: what precompute, console and load test show.  `visitor`: one that is revoked in mid-run."""

    directory: Path
    own: str
    visitor: str

    @classmethod
    def made_in(cls, directory: Path) -> Keys:
        """By `rankgr keys new`; readable by the containers' users, as their owners would be."""
        own, visitor = _new(directory, "stack", OWN_SCOPES), _new(directory, "visitor", "trigger,retrieve")
        (directory / "metrics.key").write_text(_new(directory, "prometheus", "metrics"))
        directory.chmod(0o755)
        for file in directory.iterdir():
            file.chmod(0o644)
        return cls(directory, own, visitor)

    @property
    def variables(self) -> Mapping[str, str]:
        """What docker-compose.yml is told."""
        return {
            "ALLOW_NO_KEYS": "false",
            "KEYS_FROM": str(self.directory),
            "KEYS_FILE": "/keys/keys.json",
            "RANKGR_API_KEY": self.own,
            "PROMETHEUS_CONFIG": "prometheus-keys.yml",
        }

    def __call__(self, shop: Shop, console_url: str, transcript: Transcript) -> None:
        """Nobody gets in without a key, and none that was revoked."""
        transcript.section("Keys")
        places = {
            "trigger": (f"{shop.trigger_url}/metrics", f"{shop.trigger_url}/interactions"),
            "retrieval": (f"{shop.retrieval_url}/metrics", f"{shop.retrieval_url}/retrieve/ada"),
            "console": (f"{console_url}/metrics", f"{console_url}/api/system/live"),
        }
        for name, urls in places.items():
            refused = [_status(url, None) for url in urls]
            transcript.check(f"{name} asks for a key", set(refused) == {401}, refused)
        url = places["retrieval"][1]
        visits = [_status(url, self.visitor)]
        (entry,) = re.findall(r"^(\S+) .*  visitor$", _keys(self.directory, "list"), re.MULTILINE)
        _keys(self.directory, "revoke", entry)
        try:
            visits.append(wait_for(lambda: _refused(url, self.visitor), REVOKED_WITHIN_S))
        except NotInTime:
            visits.append(_status(url, self.visitor))
        transcript.check("a key opens, and once it is revoked no more", visits == [200, 401], visits)


def _new(directory: Path, name: str, scopes: str) -> str:
    return _keys(directory, "new", "--scopes", scopes, "--name", name).strip()


def _keys(directory: Path, *words: str) -> str:
    """What `rankgr keys` prints."""
    command = [sys.executable, "-m", "services.cli", "keys", *words, "--file", str(directory / "keys.json")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _status(url: str, key: str | None) -> int:
    read = httpx.post if url.endswith("/interactions") else httpx.get
    return read(url, headers=shown(key)).status_code


def _refused(url: str, key: str) -> int:
    status = _status(url, key)
    return status if status == httpx.codes.UNAUTHORIZED else 0
