"""Engine processes on one bundle, and prompts for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from contracts.behaviors import Level
from contracts.ids import UserId
from model.bundle.prompt_side import PromptSide, read_prompt_side
from model.prompt import PromptContext, prompt_from_history
from services.gateways.inference.port import EngineRequest
from services.runtime.embedded_redis import free_port

from .conftest import Start
from .processes import Started

FAULTY_ENGINE = Path(__file__).parents[1] / "services" / "engine" / "faulty_engine.py"


@dataclass
class Engine:
    """One engine process that can be killed and started again at the same address."""

    start: Start
    bundle: Path
    arguments: Sequence[object] = ("-m", "services.cli", "serve", "engine")
    told: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    running: Started | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> Started:
        assert self.running is not None
        return self.running

    def begin(self) -> None:
        """Start it; `start` is the fixture `start_python`."""
        told = {"RANKGR_BUNDLE": str(self.bundle), "RANKGR_ENGINE_PORT": str(self.port)} | self.told
        self.running = self.start(told, *self.arguments)

    async def is_ready(self) -> bool:
        """Whether it can decode; fails where it has ended."""
        assert self.process.process.poll() is None, f"ended with {self.process.process.returncode}: {self.process.err}"
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{self.url}/readyz")).status_code == 200
            except httpx.TransportError:
                return False

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        async with httpx.AsyncClient() as client:
            page = (await client.get(f"{self.url}/metrics")).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(name))


@dataclass(frozen=True)
class Prompts:
    """Prompts of random histories, the same ones for the same numbers."""

    side: PromptSide

    @classmethod
    def of(cls, bundle: Path) -> Prompts:
        return cls(read_prompt_side(bundle))

    def tokens(self, number: int, items: int = 12) -> tuple[int, ...]:
        """The prompt of one history."""
        known = self.side.catalog.item_id
        chosen = np.random.default_rng(number).choice(known, items).tolist()
        clicks = [int(Level.CLICK)] * items
        prompt = prompt_from_history(self.side.prompt_format, self.side.catalog, chosen, clicks, PromptContext())
        return tuple(prompt.tokens.tolist())

    def request(self, number: int, *, deadline_ms: int | None = None) -> EngineRequest:
        """A request of the user of this number."""
        return EngineRequest(UserId(f"user-{number}"), self.tokens(number), max_items=50, deadline_ms=deadline_ms)
