"""The circuit breaker, as a state machine against a plain model of what it promises."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.gateways.redis_link.breaker import FAILURES, LONGEST_PAUSE_S, Breaker, BreakerState


class Machine(RuleBasedStateMachine):
    """Whatever the order of answers, failures and probes: open after three failures in a row, closed by an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(Random(0))
        self.in_a_row = 0
        self.opened = 0

    @rule()
    def answer(self) -> None:
        self.breaker.succeeded()
        self.in_a_row = 0

    @rule()
    def failure(self) -> None:
        self.breaker.failed()
        self.in_a_row += 1
        self.opened += self.in_a_row == FAILURES

    @precondition(lambda self: self.breaker.state is BreakerState.OPEN)
    @rule()
    def probe(self) -> None:
        self.breaker.probing()

    @precondition(lambda self: self.breaker.state is not BreakerState.OPEN)
    @rule()
    def probe_that_is_not_due(self) -> None:
        with pytest.raises(ValueError, match="no probe is due"):
            self.breaker.probing()

    @invariant()
    def calls_pass_until_three_failures_in_a_row(self) -> None:
        assert self.breaker.closed is (self.in_a_row < FAILURES)

    @invariant()
    def every_opening_is_counted_once(self) -> None:
        assert self.breaker.openings == self.opened

    @invariant()
    def a_probe_comes_soon_and_never_at_once(self) -> None:
        if not self.breaker.closed:
            assert 0 < self.breaker.pause_s <= LONGEST_PAUSE_S


TestBreaker = Machine.TestCase
TestBreaker.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_pauses_grow_and_stay_short() -> None:
    breaker = Breaker(Random(0))
    pauses = []
    for _ in range(30):
        breaker.failed()
        pauses.append(breaker.pause_s)
    assert pauses[FAILURES - 1] < 0.1
    assert max(pauses) <= LONGEST_PAUSE_S
    assert min(pauses[10:]) >= LONGEST_PAUSE_S / 2
