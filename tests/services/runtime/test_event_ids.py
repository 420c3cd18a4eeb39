"""Event ids are UUIDs of version 7: valid, unique, sorted by time, repeatable when chance is."""

from __future__ import annotations

from random import Random, SystemRandom
from uuid import RFC_4122, UUID

from services.runtime.clock import ManualClock
from services.runtime.event_ids import uuid7, uuid7_ids


def test_the_example_of_the_standard_comes_out() -> None:
    """RFC 9562, appendix A.6: time 0x017F22E279B0, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F."""
    bits = 0xCC3 << 62 | 0x18C4DC0C0C07398F
    assert str(uuid7(0x017F22E279B0, bits)) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_an_id_carries_version_variant_and_time() -> None:
    clock = ManualClock()
    made = UUID(uuid7_ids(clock, Random(0))())
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == clock.now_ms()


def test_ids_of_later_milliseconds_sort_later() -> None:
    clock = ManualClock()
    new_id = uuid7_ids(clock, Random(0))
    made = []
    for _ in range(100):
        made.append(new_id())
        clock.advance(0.001)
    assert made == sorted(made)


def test_ids_of_one_millisecond_differ() -> None:
    new_id = uuid7_ids(ManualClock(), SystemRandom())
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_the_same_time_and_chance_give_the_same_ids() -> None:
    first, second = (uuid7_ids(ManualClock(), Random(7)) for _ in range(2))
    assert [first() for _ in range(5)] == [second() for _ in range(5)]
