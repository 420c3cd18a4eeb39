"""`rankgr bench swap` on a real engine: nothing is dropped or mixed, on either host; and what a pause is."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.bench.swap.load import Asked, longest_pause_ms

from ...cli.command_line import run_process


def asked(*spans: tuple[float, float]) -> list[Asked]:
    return [Asked(sent, answered, 200, "m", True) for sent, answered in spans]


@pytest.mark.parametrize(
    ("spans", "pause_ms"),
    [
        ([(0.0, 0.01)], 10.0),
        # Nobody waited between the two.
        ([(0.0, 0.01), (5.0, 5.02)], 20.0),
        # The second one waited from the first one's answer on.
        ([(0.0, 0.01), (0.005, 0.04)], 30.0),
        # Somebody who waits long, while others are answered, is no pause.
        ([(0.0, 0.1), (0.01, 0.02), (0.03, 0.04), (0.05, 0.06)], 40.0),
        ([], 0.0),
    ],
)
def test_a_pause_is_when_somebody_waits_and_nobody_is_answered(
    spans: list[tuple[float, float]], pause_ms: float
) -> None:
    assert longest_pause_ms(asked(*spans)) == pytest.approx(pause_ms)


def test_only_pauses_near_the_switch_count_for_it() -> None:
    spans = asked((0.0, 0.5), (1.0, 1.01), (1.005, 1.03), (2.0, 2.9))
    assert longest_pause_ms(spans, 0.9, 1.1) == pytest.approx(20.0)
    assert longest_pause_ms(spans) == pytest.approx(900.0)


@pytest.mark.journey
@pytest.mark.heavy
@pytest.mark.parametrize("host", ["torch", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_no_request_is_dropped_and_no_answer_is_mixed(host: str, tmp_path: Path) -> None:
    words = ("bench", "swap", "--host", host, "--rounds", 1, "--rate", 5, "--cache", tmp_path / "cache", "--json")
    ended = run_process(*words)
    assert ended.code == 0, ended.err
    found = ended.content()
    assert (found["dropped"], found["mixed"]) == (0, 0)
    assert found["requests"] > 10
    assert [swap["kind"] for swap in found["swaps"]] == ["promote", "rollback"]
    assert found["worst"]["rollback"]["seconds_max"] > 0
