"""Two engine processes as precompute sees them: a user keeps to one, and a killed one costs nobody's request."""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from services.gateways.inference.over_http import HttpInferenceEngine
from services.gateways.inference.port import EngineAnswer
from services.gateways.inference.rendezvous import replicas_of
from services.gateways.inference.replicas import ReplicatedInferenceEngine
from services.runtime.clock import SystemClock

from .conftest import Start
from .engines import Engine, Prompts

pytestmark = [pytest.mark.journey, pytest.mark.heavy, pytest.mark.alone]

Eventually = Callable[..., Awaitable[None]]
READY_WITHIN_S = 90.0
PLENTY_MS = 60_000
CONNECT_S = 20.0


class Pool:
    """Two engines, asked as one, and which was asked what."""

    def __init__(self, start: Start, bundle: Path) -> None:
        self.engines: dict[str, Engine] = {}
        for _ in range(2):
            one = Engine(start, bundle, told={"RANKGR_ENGINE_QUEUE": "500"})
            self.engines[one.url] = one
        self.calls: dict[str, list[str]] = defaultdict(list)
        self.asked = ReplicatedInferenceEngine(
            # Three hundred connect at once to a process that computes: a busy machine takes longer than a second.
            {url: HttpInferenceEngine.connect(url, connect_s=CONNECT_S) for url in self.engines},
            SystemClock(),
            lambda url, outcome: self.calls[url].append(outcome),
            probe_every_s=0.1,
        )

    async def are_ready(self) -> bool:
        return all([await one.is_ready() for one in self.engines.values()])


@pytest.fixture
async def pool(start_python: Start, micro_bundle: Path, eventually: Eventually) -> AsyncIterator[Pool]:
    made = Pool(start_python, micro_bundle)
    for one in made.engines.values():
        one.begin()
    await eventually(made.are_ready, READY_WITHIN_S)
    yield made
    await made.asked.close()


def assert_same_list(found: EngineAnswer, expected: EngineAnswer) -> None:
    """Equal but for rounding: near-ties may change places, and one of them may fall out at the cut."""
    assert len(found.items) == len(expected.items)
    for one, other in zip(found.items, expected.items, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)
    common = {item.item_id for item in found.items} & {item.item_id for item in expected.items}
    assert len(common) >= len(expected.items) - 2


async def test_users_keep_to_their_engine_and_one_that_is_killed_in_mid_flight_costs_nobody_a_request(
    pool: Pool, micro_bundle: Path, eventually: Eventually
) -> None:
    prompts = Prompts.of(micro_bundle)
    requests = [prompts.request(number, deadline_ms=PLENTY_MS) for number in range(300)]
    expected = [await pool.asked.recommend(request) for request in requests]
    again = [await pool.asked.recommend(request) for request in requests]
    # All but the last token of a prompt that came before is there already: had another engine been asked, it were not.
    assert {answer.counts["computed_tokens"] for answer in again} == {1}
    own = {url: [one for one in requests if replicas_of(one.user_id, pool.engines)[0] == url] for url in pool.engines}
    assert {url: pool.calls[url] for url in pool.engines} == {url: ["ok"] * 2 * len(own[url]) for url in pool.engines}

    victim, survivor = pool.engines.values()
    answering = [asyncio.create_task(pool.asked.recommend(request)) for request in requests]
    await asyncio.wait(answering, return_when=asyncio.FIRST_COMPLETED)
    assert victim.process.end(signal.SIGKILL) == -signal.SIGKILL
    answers = await asyncio.gather(*answering)
    for answer, first in zip(answers, expected, strict=True):
        assert_same_list(answer, first)
    lost = pool.calls[victim.url].count("EngineDown")
    assert lost > 0, "it died with requests inside"
    assert sum(pool.calls[url].count("ok") for url in pool.engines) == 3 * len(requests)
    assert pool.asked.down == {victim.url}
    await pool.asked.recommend(own[victim.url][0])
    assert pool.calls[victim.url].count("EngineDown") == lost, "it is known to be down, and not asked"

    victim.begin()

    async def is_back() -> bool:
        return await victim.is_ready() and not pool.asked.down

    await eventually(is_back, READY_WITHIN_S)
    calls = len(pool.calls[victim.url])
    await pool.asked.recommend(own[victim.url][0])
    assert pool.calls[victim.url][calls:] == ["ok"]
    assert not survivor.process.complaints()


async def test_an_engine_that_is_frozen_is_left_and_found_again(
    pool: Pool, micro_bundle: Path, eventually: Eventually
) -> None:
    prompts = Prompts.of(micro_bundle)
    frozen, other = pool.engines.values()
    requests = [prompts.request(number, deadline_ms=PLENTY_MS) for number in range(40)]
    frozen.process.process.send_signal(signal.SIGSTOP)
    answers = await asyncio.gather(*(pool.asked.recommend(request) for request in requests))
    assert all(answer.items for answer in answers)
    assert pool.asked.down == {frozen.url}
    assert set(pool.calls[frozen.url]) == {"EngineDown"}
    assert pool.calls[other.url] == ["ok"] * len(requests)
    frozen.process.process.send_signal(signal.SIGCONT)

    async def is_back() -> bool:
        return not pool.asked.down

    await eventually(is_back, READY_WITHIN_S)


async def test_an_engine_that_is_told_to_stop_ends_what_it_has_begun(pool: Pool, micro_bundle: Path) -> None:
    prompts = Prompts.of(micro_bundle)
    requests = [prompts.request(number, deadline_ms=PLENTY_MS) for number in range(100)]
    leaving, _staying = pool.engines.values()
    answering = [asyncio.create_task(pool.asked.recommend(request)) for request in requests]
    await asyncio.wait(answering, return_when=asyncio.FIRST_COMPLETED)
    ended = asyncio.create_task(asyncio.to_thread(leaving.process.end))
    assert len(await asyncio.gather(*answering)) == len(requests)
    later = [asyncio.create_task(pool.asked.recommend(request)) for request in requests]
    assert len(await asyncio.gather(*later)) == len(requests)
    assert await ended == 0
    assert "Traceback" not in leaving.process.err
