"""The stack on a bundle store: every process but history, two engines of which one goes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from services.runtime.embedded_redis import free_port

from .conftest import Start
from .processes import Started
from .shop import Shop

READY_WITHIN_S = 180.0
SWAP_WITHIN_S = 60.0
USERS = 12
LIGHT = ("trigger", "precompute", "retrieval")
ENGINES = ("engine", "canary")


@dataclass
class Stack:
    """Every process but history, on one store; two engines, of which one goes first."""

    shop: Shop
    running: dict[str, Started]

    @classmethod
    def begin(cls, start: Start, client: httpx.AsyncClient, redis_url: str, store: Path) -> Stack:
        ports = {name: free_port() for name in (*LIGHT, *ENGINES)}
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        told = {f"RANKGR_{name.upper()}_PORT": str(ports[name]) for name in (*LIGHT, "engine")} | {
            "RANKGR_REDIS_URL": redis_url,
            "RANKGR_BUNDLE_STORE": str(store),
            "RANKGR_BUNDLE_POLL_S": "0.2",
            "RANKGR_RETRIEVAL_OLD_LISTS_S": "0",
            "RANKGR_PRECOMPUTE_ENGINE_URL": ",".join(urls[name] for name in ENGINES),
        }
        first = {"RANKGR_ENGINE_PORT": str(ports["canary"]), "RANKGR_ENGINE_CHANNEL": "canary"}
        running = {name: start(told, "serve", name) for name in (*LIGHT, "engine")}
        return cls(Shop(client, urls), running | {"canary": start(told | first, "serve", "engine")})

    async def is_ready(self) -> bool:
        for name, one in self.running.items():
            assert one.process.poll() is None, f"{name} ended with {one.process.returncode}: {one.err[-2000:]}"
        return all([await self.shop.is_ready(name) for name in self.running])

    async def listed(
        self, round_: str, recent: Sequence[int] = (3, 7, 12), limit: int = 20
    ) -> dict[str, dict[str, Any]]:
        """One list for each user, made for this round's request."""
        pages = {}
        for user in (f"u{number}" for number in range(USERS)):
            await self.shop.trigger(user, f"{user}-{round_}", recent)
            assert await self.shop.gets_fresh(user, f"{user}-{round_}"), (user, round_)
            pages[user] = await self.shop.retrieve(user, limit=limit)
        return pages

    async def shows(self, process: str, metric: str) -> bool:
        return metric in (await self.shop.client.get(f"{self.shop.urls[process]}/metrics")).text

    async def serves(self, bundle: str, *processes: str) -> bool:
        return all([await self.shows(name, f'rankgr_bundle_info{{bundle="{bundle}"') for name in processes])
