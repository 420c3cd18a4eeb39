"""What the console is told by its environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import BundleSettings, ClientSettings, ProcessSettings, StreamSettings, url_parts

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def _http_url(url: str) -> str:
    parts = url_parts(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL that begins with http:// or https://")
    if parts.username is not None:
        raise ValueError("must hold no user name: it would stand on the page")
    return url.rstrip("/")


def _processes(text: str) -> str:
    names = []
    for part in _parts(text):
        name, equals, url = part.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise ValueError("must be NAME=URL, or several, with commas between them")
        _http_url(url)
        names.append(name)
    if len(set(names)) < len(names) or {"trigger", "retrieval", "engine"} & set(names):
        raise ValueError("names a process twice (trigger, retrieval and engine have variables of their own)")
    return text


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Processes = Annotated[str, AfterValidator(_processes)]


class ConsoleSettings(ProcessSettings, StreamSettings, BundleSettings, ClientSettings):
    """RANKGR_CONSOLE_*; docs/settings.md explains each.  Of the bundle catalogue and prompt format are read."""

    model_config = SettingsConfigDict(env_prefix="RANKGR_CONSOLE_")

    port: int = 8100
    trigger_url: HttpUrl = "http://127.0.0.1:8101"
    retrieval_url: HttpUrl = "http://127.0.0.1:8102"
    engine_url: HttpUrl = "http://127.0.0.1:8103"
    processes: Processes = (
        "history=http://127.0.0.1:8110,precompute=http://127.0.0.1:8111,samples=http://127.0.0.1:8112"
    )
    examples: Path | None = None
    window_ms: int = Field(default=100, ge=10, le=5000)
    views: PositiveInt = 16
    view_s: float = Field(default=300.0, gt=0, le=3600, allow_inf_nan=False)

    @property
    def process_urls(self) -> dict[str, str]:
        """Every process that the system page looks at, by name."""
        own = {"trigger": self.trigger_url, "retrieval": self.retrieval_url, "engine": self.engine_url}
        return own | {name: url.rstrip("/") for name, _, url in (one.partition("=") for one in _parts(self.processes))}
