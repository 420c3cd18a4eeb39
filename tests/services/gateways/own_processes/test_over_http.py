"""What the console tells the other processes, over HTTP, in process."""

from __future__ import annotations

from itertools import count
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from contracts.errors import Unavailable
from contracts.ids import UserId
from services.gateways.own_processes.over_http import TRIES, HttpOwnProcesses


class Trigger:
    """Accepts a trigger once it has refused `refusals` of them; remembers the bodies of all."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.told: list[dict[str, Any]] = []
        self.app = FastAPI()
        self.app.post("/trigger")(self._trigger)

    async def _trigger(self, body: dict[str, Any]) -> JSONResponse:
        self.told.append(body)
        if len(self.told) <= self.refusals:
            return JSONResponse({"error": "stream_down", "detail": "busy"}, 503)
        return JSONResponse({"request_id": body["request_id"], "accepted_at": 7}, 202)


def others(trigger: Trigger) -> HttpOwnProcesses:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(trigger.app))
    numbers = count()
    return HttpOwnProcesses(client, "http://trigger", "http://retrieval", lambda: f"r{next(numbers)}")


async def test_a_trigger_that_has_to_be_told_again_stays_one_request() -> None:
    trigger = Trigger(refusals=2)
    asked = others(trigger)
    first = await asked.trigger(UserId("ann"), None, [])
    assert [body["request_id"] for body in trigger.told] == ["r0"] * 3
    assert (first.request_id, first.accepted_at) == ("r0", 7)
    assert (await asked.trigger(UserId("ann"), None, [])).request_id == "r1"
    await asked.close()


async def test_a_trigger_that_is_refused_every_time_is_unavailable() -> None:
    trigger = Trigger(refusals=TRIES)
    asked = others(trigger)
    with pytest.raises(Unavailable, match="busy"):
        await asked.trigger(UserId("ann"), None, [])
    assert len(trigger.told) == TRIES
    await asked.close()
