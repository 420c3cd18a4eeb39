"""Each sample is learnt from once a revision, in an order that nothing but the samples' own decides."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import BadConfig
from model.training.incremental.config import HeldOutConfig, IncrementalConfig, ReplayConfig
from model.training.incremental.intake import Intake
from model.training.incremental.stream_sample import StreamSample

from .sampled import MINUTE_MS, sample

CONFIG = IncrementalConfig(
    batch_samples=6,
    held_out=HeldOutConfig(share=0.4, hold_ms=10 * MINUTE_MS),
    replay=ReplayConfig(share=0.34, reservoir=5, horizon=15),
)
Told = tuple[str, int]


def named(samples: list[StreamSample]) -> list[Told]:
    return [(one.sample_id, one.revision) for one in samples]


class Taught:
    """An intake whose steps all succeed, and what each of them held."""

    def __init__(self, config: IncrementalConfig = CONFIG) -> None:
        self.intake = Intake(config)
        self.steps: list[tuple[list[Told], list[Told]]] = []

    def feed(self, one: StreamSample) -> None:
        self.intake.take(one)
        while self.intake.ready:
            self.step()

    def step(self) -> None:
        number = len(self.steps)
        new = self.intake.next_new()
        self.steps.append((named(new), named(self.intake.replayed(new, number))))
        self.intake.done(new, number, learnt=True)

    @property
    def learnt(self) -> list[Told]:
        return [one for new, _ in self.steps for one in new]


streams = st.lists(st.tuples(st.integers(0, 25), st.integers(0, 2)), max_size=80)


@given(streams)
@settings(max_examples=150, deadline=None)
def test_no_revision_is_learnt_twice_and_nothing_is_lost(stream: list[tuple[int, int]]) -> None:
    taught = Taught()
    for number, revision in stream:
        taught.feed(sample(number, revision=revision))
    intake = taught.intake
    assert max(Counter(taught.learnt).values(), default=1) == 1
    told = Counter(f"sample-{number}" for number, _ in stream)
    where = {name for name, _ in taught.learnt}
    where |= {one.sample_id for one in (*intake.pending.values(), *intake.held_out.values())}
    assert where == set(told)
    # Of each sample revisions rise, and the highest told is learnt from, waits, or is held out.
    highest: dict[str, int] = {}
    for number, revision in stream:
        highest[f"sample-{number}"] = max(highest.get(f"sample-{number}", 0), revision)
    last = dict(taught.learnt) | {name: r for name, r in named(list(intake.pending.values()))}
    last |= {name: r for name, r in named(list(intake.held_out.values()))}
    assert last == highest
    for one in intake.reservoir:
        assert one.revision == highest[one.sample_id]
    assert len(intake.reservoir) <= CONFIG.replay.reservoir
    assert len({one.sample_id for one in intake.reservoir}) == len(intake.reservoir)
    for new, replayed in taught.steps:
        assert not {name for name, _ in new} & {name for name, _ in replayed}


@given(streams, st.integers(0, 79))
@settings(max_examples=80, deadline=None)
def test_what_was_written_goes_on_as_if_it_had_not_been(stream: list[tuple[int, int]], cut: int) -> None:
    whole, parted = Taught(), Taught()
    for place, (number, revision) in enumerate(stream):
        whole.feed(sample(number, revision=revision))
        if place == cut:
            parted.intake = Intake.read(parted.intake.write(), CONFIG)
        parted.feed(sample(number, revision=revision))
    assert parted.steps == whole.steps
    assert parted.intake.write() == whole.intake.write()


def test_what_is_held_out_is_not_learnt_from_before_its_time() -> None:
    taught = Taught()
    first_learnt: dict[str, int] = {}
    for number in range(100):
        taught.feed(sample(number))
        for name, _ in taught.learnt:
            first_learnt.setdefault(name, number)
    chosen = [number for number in range(80) if sample(number).key < 0.4 * 2.0**64]
    assert 20 < len(chosen) < 45
    for number in chosen:
        assert first_learnt[f"sample-{number}"] >= number + 10
    others = [number for number in range(80) if number not in chosen]
    assert sum(first_learnt[f"sample-{number}"] - number for number in others) / len(others) < 5
    assert all(
        taught.intake.newest_ms - one.newest_event_at < 10 * MINUTE_MS for one in taught.intake.held_out.values()
    )


def test_a_flood_does_not_hold_out_more_than_it_may() -> None:
    config = IncrementalConfig(held_out=HeldOutConfig(share=0.5, most=3))
    intake = Intake(config)
    for number in range(60):
        intake.take(sample(number, minutes=0))
    assert len(intake.held_out) == 3


def test_a_correction_of_what_was_learnt_is_learnt_once_and_never_held_out() -> None:
    taught = Taught(IncrementalConfig(batch_samples=1, held_out=HeldOutConfig(share=0.0), replay=ReplayConfig(share=0)))
    taught.feed(sample(1))
    assert taught.learnt == [("sample-1", 0)]
    taught.intake.config = IncrementalConfig(
        batch_samples=1, held_out=HeldOutConfig(share=0.99), replay=ReplayConfig(share=0)
    )
    for _ in range(2):
        taught.feed(sample(1, revision=1))
        taught.feed(sample(1))
    assert taught.learnt == [("sample-1", 0), ("sample-1", 1)]
    assert taught.intake.counts["repeated"] == 3
    assert [one.revision for one in taught.intake.reservoir] == [1]


def test_the_reservoir_holds_old_and_new_alike() -> None:
    config = IncrementalConfig(
        batch_samples=1, held_out=HeldOutConfig(share=0.0), replay=ReplayConfig(share=0.0, reservoir=50)
    )
    taught = Taught(config)
    for number in range(600):
        taught.feed(sample(number))
    numbers = [int(one.sample_id.split("-")[1]) for one in taught.intake.reservoir]
    assert len(numbers) == 50
    assert 200 < sum(numbers) / len(numbers) < 400


def test_ids_are_forgotten_in_the_order_of_their_last_coming() -> None:
    intake = Intake(IncrementalConfig(remembered=2))
    for number in (1, 2, 3, 1):
        intake.take(sample(number))
    assert intake.counts["taken"] == 4
    intake.take(sample(1))
    assert intake.counts["repeated"] == 1


def test_what_is_no_intake_is_refused() -> None:
    with pytest.raises(BadConfig, match="damaged"):
        Intake.read(b"\x93", CONFIG)
