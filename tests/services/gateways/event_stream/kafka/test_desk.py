"""The desk of a member: order, second deliveries, partitions that come and go, and bounds."""

from __future__ import annotations

import pytest

from services.gateways.event_stream.kafka.book import Fetched
from services.gateways.event_stream.kafka.desk import Desk, Receipt

AGAIN_S = 10.0


@pytest.fixture
def desk() -> Desk:
    made = Desk(most_held=4, most_bytes=10_000)
    for partition in (0, 1):
        made.open(partition, 0, "")
    return made


def put(desk: Desk, partition: int, *offsets: int) -> None:
    for offset in offsets:
        desk.take_in(Fetched(partition, offset, b"key", b"%d:%d" % (partition, offset)))


def handed(desk: Desk, most: int, now_s: float) -> list[tuple[bytes, int]]:
    return [(one.payload, one.attempt) for one in desk.hand_out(most, now_s, AGAIN_S)]


def test_new_messages_are_handed_out_once_and_again_when_they_are_due(desk: Desk) -> None:
    put(desk, 0, 0, 1)
    assert handed(desk, 9, 0.0) == [(b"0:0", 1), (b"0:1", 1)]
    assert handed(desk, 9, 9.9) == []
    assert desk.next_due_s() == AGAIN_S
    put(desk, 1, 0)
    assert handed(desk, 2, 10.0) == [(b"0:0", 2), (b"0:1", 2)], "those due again go first"
    assert handed(desk, 2, 10.0) == [(b"1:0", 1)]


def test_what_was_given_back_is_due_when_it_was_said_to_be_and_no_sooner_or_twice(desk: Desk) -> None:
    put(desk, 0, 0)
    [first] = desk.hand_out(1, 0.0, AGAIN_S)
    assert desk.give_back(first.receipt, 2.0)
    assert handed(desk, 9, 1.9) == []
    assert handed(desk, 9, 2.0) == [(b"0:0", 2)]
    assert handed(desk, 9, 10.0) == [], "its first reminder no longer counts"
    assert handed(desk, 9, 12.0) == [(b"0:0", 3)]


def test_what_is_settled_never_comes_again(desk: Desk) -> None:
    put(desk, 0, 0, 1)
    first, second = desk.hand_out(2, 0.0, AGAIN_S)
    assert desk.settle(second.receipt)
    assert desk.settle(second.receipt), "twice is as good"
    assert desk.positions()[0] == (0, '{"d":2,"s":[[1,1]]}')
    assert handed(desk, 9, 10.0) == [(b"0:0", 2)]
    assert desk.settle(first.receipt)
    assert desk.positions()[0] == (2, "")
    assert desk.unsettled({0: 5, 1: 1}) == 4


def test_a_partition_that_went_is_forgotten_and_its_receipts_are_worth_nothing(desk: Desk) -> None:
    put(desk, 0, 0)
    put(desk, 1, 0, 1)
    held = {one.receipt.partition: one.receipt for one in desk.hand_out(2, 0.0, AGAIN_S)}
    desk.keep_only({0})
    assert not desk.settle(held[1])
    assert not desk.give_back(held[1], 0.0)
    assert handed(desk, 9, 99.0) == [(b"0:0", 2)]
    desk.open(1, 0, "")
    assert not desk.settle(held[1]), "nor after it came back"
    put(desk, 1, 0)
    assert handed(desk, 9, 100.0) == [(b"1:0", 1)]
    put(desk, 2, 0)
    assert handed(desk, 9, 100.0) == [], "a partition that it does not have is none of its business"


def test_what_others_settled_meanwhile_leaves_the_desk(desk: Desk) -> None:
    put(desk, 0, 0, 1, 2)
    desk.open(0, 2, "")
    assert handed(desk, 9, 0.0) == [(b"0:2", 1)]


def test_it_says_when_it_is_full_by_number_or_by_size(desk: Desk) -> None:
    fullness: list[bool] = []
    put(desk, 0, 0, 1, 2)
    fullness.append(desk.full)
    put(desk, 1, 0)
    fullness.append(desk.full)
    desk.settle(desk.hand_out(1, 0.0, AGAIN_S)[0].receipt)
    fullness.append(desk.full)
    desk.take_in(Fetched(0, 3, b"", bytes(10_000)))
    fullness.append(desk.full)
    desk.keep_only(set())
    fullness.append(desk.full)
    assert fullness == [False, True, False, True, False]


def test_reminders_of_settled_messages_do_not_pile_up() -> None:
    desk = Desk(most_held=10, most_bytes=10_000)
    desk.open(0, 0, "")
    for offset in range(20_000):
        put(desk, 0, offset)
        [one] = desk.hand_out(1, 0.0, AGAIN_S)
        desk.settle(one.receipt)
    assert len(desk._due) < 2000
    assert {held.payload for *_, held in desk._due} == {b""}, "nor what was in them"


def test_a_receipt_survives_being_written_down() -> None:
    assert Receipt.read(str(Receipt(3, 2**60, 7))) == Receipt(3, 2**60, 7)
