"""`rankgr demo --once`: the main job from a data set directory to the printed table, and again without training."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from .conftest import Start
from .processes import Started, any_ports

pytestmark = [pytest.mark.journey, pytest.mark.redis, pytest.mark.heavy]

Eventually = Callable[..., Awaitable[None]]
WITHIN_S = 240


def ended(demo: Started) -> str:
    """What a demo printed; fails unless it succeeded."""
    assert demo.process.wait(WITHIN_S) == 0, demo.err + demo.out
    return demo.out


def test_the_table_is_printed_and_the_second_time_the_bundle_is_reused(
    start: Start, micro_data: Path, tmp_path: Path
) -> None:
    words = ("demo", "--once", "--data", micro_data, "--preset", "micro", "--state", tmp_path / "state")
    first = start(any_ports(), *words)
    shown = ended(first)
    assert "bundle built: " in shown
    assert "4 of 4 lists fresh" in shown
    assert shown.count("recommended (fresh)") == 4
    assert "HR@20 on 20 held-out users, truth click: " in shown
    assert "evaluating" in first.err
    second = start(any_ports(), *words)
    again = ended(second)
    assert "bundle reused: " in again
    assert "4 of 4 lists fresh" in again
    assert "evaluating" not in second.err


def test_once_exits_1_where_a_list_is_not_fresh(start: Start, micro_data: Path, tmp_path: Path) -> None:
    # Every trigger is too old to be computed by the time it is taken.
    told = any_ports() | {"RANKGR_PRECOMPUTE_MAX_AGE_S": "0.0001"}
    demo = start(told, "demo", "--once", "--data", micro_data, "--preset", "micro", "--state", tmp_path / "state")
    assert demo.process.wait(WITHIN_S) == 1
    assert "0 of 4 lists fresh" in demo.out
    assert demo.out.count("recommended (fallback)") == 4
    assert not [line for line in demo.complaints() if line.startswith(("rankgr: ", "Traceback"))]


async def test_without_once_it_keeps_serving_and_the_printed_curl_lines_work(
    start: Start, client: httpx.AsyncClient, eventually: Eventually, micro_data: Path, tmp_path: Path
) -> None:
    words = ("--data", micro_data, "--preset", "micro", "--state", tmp_path / "state")
    demo = start(any_ports(), "demo", *words)

    async def invites() -> bool:
        assert demo.process.poll() is None, demo.err
        return "serving; Ctrl-C stops all" in demo.out

    await eventually(invites, within_s=WITHIN_S)
    lines = [line for line in demo.out.splitlines() if line.startswith("curl ")]
    trigger, retrieve, interactions = [await as_curl_would(client, line) for line in lines]
    assert (trigger.status_code, trigger.json()["request_id"]) == (202, "r-1")
    assert (retrieve.status_code, retrieve.json()["outcome"], retrieve.json()["request_id"]) == (200, "fresh", "r-1")
    assert (interactions.status_code, interactions.json()) == (202, {"accepted": 1})
    assert demo.end(signal.SIGINT) == 0
    assert "Traceback" not in demo.err


async def as_curl_would(client: httpx.AsyncClient, line: str) -> httpx.Response:
    """What `curl -s URL [-H HEADER -d BODY]` sends, quoted for a shell."""
    match shlex.split(line):
        case ["curl", "-s", url]:
            return await client.get(url)
        case ["curl", "-s", url, "-H", header, "-d", body]:
            name, value = header.split(": ")
            return await client.post(url, headers={name: value}, content=body)
    raise AssertionError(f"not understood: {line}")
