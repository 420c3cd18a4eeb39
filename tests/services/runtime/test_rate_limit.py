"""How often one and the same may come, against a bucket that is counted the slow way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import RateLimited
from services.runtime import rate_limit
from services.runtime.rate_limit import RateLimit


def comes(limit: RateLimit, name: str, now_s: float) -> bool:
    try:
        limit.take(name, now_s)
    except RateLimited:
        return False
    return True


class Bucket:
    """Tokens, filled as time goes by."""

    def __init__(self, per_s: float, burst: int) -> None:
        self.per_s, self.burst, self.tokens, self.at_s = per_s, burst, float(burst), 0.0

    def take(self, now_s: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now_s - self.at_s) * self.per_s)
        self.at_s = now_s
        if self.tokens < 1 - 1e-6:
            return False
        self.tokens -= 1
        return True


# Times on a grid that halves exactly, so that both count alike.
STEPS = st.lists(st.tuples(st.integers(0, 8), st.sampled_from("abc")), max_size=80)


@given(STEPS, st.sampled_from([0.5, 1.0, 4.0]), st.integers(1, 5))
def test_it_lets_through_what_a_bucket_of_tokens_would(steps: list[tuple[int, str]], per_s: float, burst: int) -> None:
    limit = RateLimit("user", per_s, burst)
    buckets = {name: Bucket(per_s, burst) for name in "abc"}
    now_s = 0.0
    for sixteenths, name in steps:
        now_s += sixteenths / 16
        assert comes(limit, name, now_s) == buckets[name].take(now_s)


def test_the_error_says_when_the_next_one_is_let_through() -> None:
    limit = RateLimit("user", 2.0, 1)
    limit.take("a", 100.0)
    with pytest.raises(RateLimited, match="this user") as caught:
        limit.take("a", 100.1)
    assert caught.value.retry_after_s == pytest.approx(0.4)
    assert comes(limit, "a", 100.1 + caught.value.retry_after_s)


def test_memory_is_bounded_by_time_and_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = RateLimit("user", 10.0, 10)
    for number in range(10_000):
        limit.take(f"user-{number}", number / 100)
    assert len(limit._full_at_s) + len(limit._older) <= 300, "what is full again is forgotten"
    monkeypatch.setattr(rate_limit, "MOST_NAMES", 50)
    for number in range(10_000):
        limit.take(f"other-{number}", 200.0)
    assert len(limit._full_at_s) + len(limit._older) <= 100
