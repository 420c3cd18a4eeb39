"""Wait until processes can do their work, asking them as a load balancer would."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx

from contracts.errors import Unavailable

ASK_EVERY_S = 0.05


async def wait_ready(urls: Mapping[str, str], within_s: float) -> None:
    """Return when every `/readyz` answers 200.  Raises Unavailable naming those that did not in time."""
    async with httpx.AsyncClient(timeout=1.0) as client:
        waiting = dict(urls)
        try:
            async with asyncio.timeout(within_s):
                while waiting:
                    waiting = {name: url for name, url in waiting.items() if not await _is_ready(client, url)}
                    if waiting:
                        await asyncio.sleep(ASK_EVERY_S)
        except TimeoutError:
            names = ", ".join(sorted(waiting))
            raise Unavailable(f"not ready after {within_s:.0f} s: {names}; the log says why") from None


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        answer = await client.get(f"{url}/readyz")
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK
