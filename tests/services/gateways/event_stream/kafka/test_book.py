"""The book of a partition against a naive one: nothing unsettled is ever passed over, nothing settled comes again."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateways.event_stream.kafka.book import LONGEST_NOTE, Fetched, PartitionBook

MESSAGES = 40


def fetch(book: PartitionBook, offsets: range) -> None:
    for offset in offsets:
        book.take_in(Fetched(0, offset, b"key", b"%d" % offset))


@dataclass
class Naive:
    """What should be true: which offsets are settled, and how often each was delivered."""

    settled: set[int] = field(default_factory=set)
    delivered: dict[int, int] = field(default_factory=dict)

    def low(self, end: int) -> int:
        return next((offset for offset in range(end) if offset not in self.settled), end)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fetch"), st.integers(1, 5)),
        st.tuples(st.just("deliver"), st.integers(0, MESSAGES)),
        st.tuples(st.just("settle"), st.integers(0, MESSAGES)),
        st.tuples(st.just("hand over"), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_every_message_is_settled_or_held_or_still_to_be_fetched(steps: list[tuple[str, int]]) -> None:
    book, naive = PartitionBook.open(0), Naive()
    for step, number in steps:
        if step == "fetch":
            fetch(book, range(book.end, min(MESSAGES, book.end + number)))
        elif step == "deliver" and (held := book.held.get(number)):
            attempt = book.deliver(held, 0.0)
            naive.delivered[number] = naive.delivered.get(number, 0) + 1
            assert attempt == naive.delivered[number]
        elif step == "settle" and number in book.held:
            book.settle(number)
            naive.settled.add(number)
        elif step == "hand over":
            # Delivered but not settled at the end of a spell: whoever comes next counts on.
            successor = PartitionBook.open(book.low, book.note())
            fetch(successor, range(book.low, book.end))
            for offset, held in successor.held.items():
                known = naive.delivered.get(offset, 0)
                if held.attempt != known:
                    # A message before the last delivered one counts as delivered once: better than not at all.
                    assert (held.attempt, known) == (1, 0)
                    naive.delivered[offset] = 1
            book = successor
        assert book.low == naive.low(book.end)
        assert set(book.held) == set(range(book.low, book.end)) - naive.settled
        assert book.unsettled(MESSAGES) == MESSAGES - len(naive.settled)


def test_a_note_that_does_not_fit_is_cut_and_only_costs_repetition() -> None:
    book = PartitionBook.open(0)
    fetch(book, range(5000))
    for offset in range(1, 5000, 2):
        book.settle(offset)
    for held in list(book.held.values()):
        for _ in range(3):
            book.deliver(held, 0.0)
    note = book.note()
    assert len(note) <= LONGEST_NOTE
    successor = PartitionBook.open(book.low, note)
    fetch(successor, range(5000))
    assert set(successor.held) >= set(book.held)
    assert len(successor.held) < 5000, "what fits is used"


def test_nothing_to_say_is_no_note() -> None:
    book = PartitionBook.open(7)
    fetch(book, range(7, 9))
    assert book.note() == ""
    book.deliver(book.held[7], 0.0)
    book.settle(7)
    assert (book.low, book.note()) == (8, "")


@pytest.mark.parametrize(
    "note", ["", "{", "[]", "somebody else's", '{"d": -1}', '{"s": [[0, 100000000]]}', '{"a": "x"}']
)
def test_a_strange_note_says_nothing_and_breaks_nothing(note: str) -> None:
    book = PartitionBook.open(3, note)
    fetch(book, range(3, 6))
    assert (book.low, list(book.held), book.held[3].attempt) == (3, [3, 4, 5], 0)


def test_gaps_in_the_log_are_passed_over() -> None:
    book = PartitionBook.open(0)
    for offset in (0, 5, 9):
        book.take_in(Fetched(0, offset, b"", b""))
    book.settle(0)
    assert book.low == 5
    book.settle(5)
    book.settle(9)
    assert book.low == 10


def test_what_another_member_settled_meanwhile_is_not_delivered_again() -> None:
    book = PartitionBook.open(0)
    fetch(book, range(6))
    book.settle(4)
    book.catch_up(3)
    assert (book.low, list(book.held)) == (3, [3, 5])
    book.catch_up(1)
    assert book.low == 3, "nobody goes back"
    book.catch_up(20)
    assert (book.low, book.end, list(book.held)) == (20, 20, [])
    fetch(book, range(15, 21))
    assert list(book.held) == [20]
