"""The newest trigger of a user is known whatever the order in which they were seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import EventId, RequestId, UserId
from contracts.messages import TriggerRequested
from services.precompute.newest_triggers import NewestTriggers


def trigger(at: int, event: str = "e", user: str = "u") -> TriggerRequested:
    return TriggerRequested(
        event_id=EventId(event), user_id=UserId(user), request_id=RequestId(f"r-{at}-{event}"), accepted_at=at
    )


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc")), min_size=1, max_size=12))
def test_exactly_the_newest_has_no_successor(seen: list[tuple[int, str]]) -> None:
    newest = NewestTriggers()
    for at, event in seen:
        newest.note(trigger(at, event))
    best = max(seen)
    for at, event in seen:
        successor = newest.successor_of(trigger(at, event))
        assert successor == (None if (at, event) == best else f"r-{best[0]}-{best[1]}")


def test_users_not_seen_for_long_are_forgotten() -> None:
    newest = NewestTriggers(users_kept=2)
    for user in ("a", "b", "a", "c"):
        newest.note(trigger(9, user=user))
    assert newest.successor_of(trigger(1, user="b")) is None
    assert newest.successor_of(trigger(1, user="a")) is not None
    assert newest.successor_of(trigger(1, user="nobody")) is None
