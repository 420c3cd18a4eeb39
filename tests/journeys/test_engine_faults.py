"""An engine process among bad requests: each gets its own error, the others their lists, and no memory stays behind."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from .conftest import Start
from .engine_faults import EXPECTED, Refusals
from .engines import FAULTY_ENGINE, Engine, Prompts

log = logging.getLogger(__name__)
pytestmark = [pytest.mark.journey, pytest.mark.heavy, pytest.mark.alone]

Eventually = Callable[..., Awaitable[None]]
READY_WITHIN_S = 90.0
SOAK = 2000
ROUND = 200
# More than the queue and a batch hold: it overflows time and again, and yet most requests get in.
AT_ONCE = 24
# What allocators may still fetch after the first rounds (ten thousand requests took 2.5 MiB more, ever fewer of them).
# The keys of one kept prompt for each served request would be more.
FLAT_WITHIN_BYTES = 5 * 2**20


@pytest.fixture
async def engine(start_python: Start, micro_bundle: Path, eventually: Eventually) -> Engine:
    """An engine whose model breaks on certain tokens; its queue holds few, its prefix cache less than it is offered."""
    told = {"RANKGR_ENGINE_QUEUE": "16", "RANKGR_ENGINE_MAX_BATCH": "4", "RANKGR_ENGINE_PREFIX_CACHE_BYTES": "300000"}
    made = Engine(start_python, micro_bundle, [FAULTY_ENGINE], told)
    made.begin()
    await eventually(made.is_ready, READY_WITHIN_S)
    return made


@pytest.fixture
async def refusals(engine: Engine, micro_bundle: Path) -> AsyncIterator[Refusals]:
    async with httpx.AsyncClient(base_url=engine.url, timeout=60.0) as client:
        yield Refusals(client, Prompts.of(micro_bundle))


async def test_each_bad_request_gets_its_own_error_and_the_others_of_its_batch_their_lists(refusals: Refusals) -> None:
    kinds = refusals.kinds()
    for kind in EXPECTED:
        # One bad request among three good ones: as many as one batch takes.
        asked = [kinds[name](number) for number, name in enumerate(["good", kind, "good", "good_json"])]
        first, outcome, *others = await asyncio.gather(*asked)
        assert outcome in EXPECTED[kind], kind
        assert [first, *others] == ["ok"] * 3, kind


async def test_a_full_queue_refuses_and_recovers(engine: Engine, refusals: Refusals) -> None:
    outcomes = Counter(await asyncio.gather(*(refusals.good(number) for number in range(200))))
    assert set(outcomes) == {"ok", "EngineBusy"}
    # The queue and one batch got in whatever came first.
    assert outcomes["ok"] >= 20
    assert await refusals.good(1) == "ok"
    assert await engine.metric("rankgr_engine_waiting") == await engine.metric("rankgr_engine_inside") == 0


async def test_a_soak_of_faults_leaves_no_memory_behind(engine: Engine, refusals: Refusals) -> None:
    kinds = list(refusals.kinds().items())
    outcomes: dict[str, Counter[str]] = {name: Counter() for name, _ in kinds}
    held: list[int] = []

    room = asyncio.Semaphore(AT_ONCE)

    async def ask(number: int) -> None:
        # Every second one is good: what a served request leaves behind would show as well.
        name, kind = kinds[number // 2 % len(kinds)] if number % 2 else kinds[0]
        async with room:
            outcomes[name][await kind(number)] += 1

    for begin in range(0, SOAK, ROUND):
        await asyncio.gather(*(ask(number) for number in range(begin, begin + ROUND)))
        held.append(engine.process.rss_bytes)
    log.info("RSS in MiB by round: %s", [round(one / 2**20, 1) for one in held])
    for name, found in outcomes.items():
        assert set(found) <= EXPECTED[name] | {"EngineBusy"}, name
        assert sum(found.values()) - found["EngineBusy"] > SOAK / len(kinds) / 4, f"{name} hardly ever got in"
    assert sum(found["EngineBusy"] for found in outcomes.values()) > 0
    assert await engine.metric("rankgr_engine_inside") == 0
    # Buffers and caches find their size in the first rounds.
    settled = held[len(held) // 3 :]
    assert max(settled) - settled[0] < FLAT_WITHIN_BYTES, [round(one / 2**20, 1) for one in held]
    assert await refusals.good(1) == "ok"


async def test_an_engine_whose_device_is_lost_ends_with_one_line(engine: Engine, refusals: Refusals) -> None:
    prompts = refusals.prompts
    killing = prompts.side.prompt_format.special_tokens["hour:3"]
    body = {"user_id": "42", "tokens": [*prompts.tokens(1), killing, *prompts.tokens(2)[-4:]]}
    last = await refusals.client.post("/recommend", json=body)
    # Retriable: with another engine's device this prompt may well be decoded.
    assert (last.status_code, last.json()["error"]) == (503, "EngineDown")
    assert await asyncio.to_thread(engine.process.process.wait, 30) == 1
    assert [line for line in engine.process.complaints() if line.startswith("rankgr")] == [
        "rankgr engine: the model can no longer decode; the log says why"
    ]
