"""`rankgr items` on a real Redis: hide, show, list; a wrong use and a Redis that is down are one line."""

from __future__ import annotations

import pytest

from services.runtime.embedded_redis import free_port

from .command_line import Run

pytestmark = pytest.mark.redis


@pytest.fixture
def rankgr_on_redis(rankgr: Run, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("RANKGR_REDIS_URL", redis_url)
    return rankgr


def test_items_are_hidden_listed_and_shown_again(rankgr_on_redis: Run) -> None:
    assert rankgr_on_redis("items", "hide", 9, 7, "--json").content() == {"hidden": 2}
    at = "2026-12-24T18:00:00"
    assert rankgr_on_redis("items", "hide", "--at", at, "--json", "--", -12).content() == {"hidden": 3}
    assert rankgr_on_redis("items", "list", "--json").content() == {
        "items": [{"item_id": -12, "since": 1798135200000}, {"item_id": 7, "since": 0}, {"item_id": 9, "since": 0}]
    }
    shown = rankgr_on_redis("items", "list").out
    assert shown.splitlines() == ["-12  2026-12-24T18:00:00+00:00", "7  hidden", "9  hidden"]
    assert rankgr_on_redis("items", "show", 9, 9, 100, "--json").content() == {"hidden": 2}
    assert rankgr_on_redis("items", "show", 7).out == "1 items hidden\n"


@pytest.mark.parametrize(
    "words", [("hide",), ("hide", "x"), ("hide", "9223372036854775808"), ("hide", "1", "--at", "tomorrow"), ("show",)]
)
def test_wrong_use_exits_with_2(rankgr_on_redis: Run, words: tuple[str, ...]) -> None:
    finished = rankgr_on_redis("items", *words)
    assert (finished.code, finished.out) == (2, "")


def test_a_redis_that_is_down_is_one_line(rankgr: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKGR_REDIS_URL", f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    complaint = rankgr("items", "hide", 9, "--json").complaint()
    assert "127.0.0.1" in complaint
    assert "hunter2" not in complaint
