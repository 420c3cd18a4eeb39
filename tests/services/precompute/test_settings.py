"""Precompute's settings: an engine address that cannot be one is refused at the start, by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.gateways.event_stream.kafka.consumer import MOST_HELD
from services.precompute.settings import PrecomputeSettings
from services.runtime.settings import read_settings


@pytest.mark.parametrize(
    "url",
    [
        "engine:8103",
        "ftp://engine",
        "http://",
        "http://engine:port",
        "http://[engine",
        ",",
        "http://a:1,b:1",
        "http://a:1,http://a:1/",
        "http://name:word@a:1",
    ],
)
def test_an_engine_address_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RANKGR_BUNDLE", "/somewhere")
    monkeypatch.setenv("RANKGR_PRECOMPUTE_ENGINE_URL", url)
    with pytest.raises(SystemExit, match=r"^rankgr: bad settings: RANKGR_PRECOMPUTE_ENGINE_URL: "):
        read_settings(PrecomputeSettings)


def test_several_engines_stand_with_commas_between_them() -> None:
    settings = PrecomputeSettings(bundle=Path("b"), engine_url="http://a:8103, https://b/,")
    assert settings.engine_urls == ("http://a:8103", "https://b")


@pytest.mark.parametrize(
    ("retry_after_s", "deadline_ms", "max_age_s", "longest_wait_s"),
    [
        (15.0, 5000, 60.0, 5.0),
        (15.0, 500, 60.0, 5.0),
        (15.0, 12_000, 60.0, 1.5),
        (15.0, 5000, 2.0, 2.0),
        (6.0, 4000, 60.0, 1.0),
    ],
)
def test_a_trigger_that_waited_its_longest_is_computed_before_it_is_due_again(
    retry_after_s: float, deadline_ms: int, max_age_s: float, longest_wait_s: float
) -> None:
    settings = PrecomputeSettings(
        bundle=Path("b"), retry_after_s=retry_after_s, engine_deadline_ms=deadline_ms, max_age_s=max_age_s
    )
    assert settings.longest_wait_s == longest_wait_s
    assert settings.longest_wait_s + deadline_ms / 1000 < retry_after_s


def test_an_engine_call_that_is_longer_than_the_stream_s_patience_leaves_a_wait_all_the_same() -> None:
    settings = PrecomputeSettings(bundle=Path("b"), retry_after_s=2.0, engine_deadline_ms=5000)
    assert settings.longest_wait_s == 0.2


def test_as_many_as_may_be_held_fit_what_a_kafka_consumer_holds() -> None:
    settings = PrecomputeSettings(bundle=Path("b"), concurrency=50, waiting=200)
    assert settings.held + settings.waiting <= MOST_HELD
    with pytest.raises(ValidationError, match="waiting"):
        PrecomputeSettings(bundle=Path("b"), waiting=201)
