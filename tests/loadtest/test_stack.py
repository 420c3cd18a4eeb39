"""The load test's stack takes no port that it did not ask for: several run beside one another."""

from __future__ import annotations

from loadtest.stack import PROCESSES
from services.local.stack import LIGHT


def test_every_process_of_the_stack_gets_a_port_of_its_own() -> None:
    # Named there once more: a load test with a bundle in hand loads no torch.
    assert set(PROCESSES) == {*LIGHT, "engine", "precompute"}
