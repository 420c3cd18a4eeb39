"""Exactly one sample per session, whatever the order in which its events come: held to a slow oracle."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.behaviors import Behavior, Level
from contracts.messages import SessionSampled
from model.sessions.rules import JoinRules
from model.sessions.session_join import Outcome, SessionJoin

from .happenings import END_MS, LATENESS_MS, RULES, arrivals, candidates, interaction, logs, seen, trigger
from .oracle import Event, expected_samples, time_of


class Process:
    """A join with a disk: what is not kept is lost with it, and comes again."""

    def __init__(self, rules: JoinRules = RULES) -> None:
        self.rules = rules
        self.disk: dict[str, tuple[bool, bytes]] = {}
        self.watermark = self.newest = self.place = 0
        self.kept: list[SessionSampled] = []
        self.start()

    def start(self) -> None:
        """Begin anew from what is on disk."""
        self.join = SessionJoin(self.rules)
        self.join.advance(self.watermark)
        self.seen_newest = self.newest
        self.made: list[SessionSampled] = []
        for user, (waits, written) in self.disk.items():
            if waits:
                self.join.admit(user, written)

    def take(self, event: Event) -> Outcome:
        """Feed one event and let time follow it."""
        for user in self.join.unknown([event.user_id]):
            self.join.admit(user, self.disk[user][1] if user in self.disk else None)
        outcome = self.join.feed(event)
        self.seen_newest = max(self.seen_newest, time_of(event))
        self.made += self.join.advance(self.seen_newest - LATENESS_MS)
        return outcome

    def keep(self, place: int) -> None:
        """All in one step: users, how far time is, what was made, and where reading goes on."""
        for one in self.join.changes():
            self.disk[one.user] = (one.waits, one.written)
        self.join.forget_settled()
        self.watermark, self.newest, self.place = self.join.watermark, self.seen_newest, place
        self.kept += self.made
        self.made = []


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_arrival_with_repetitions_and_restarts_gives_the_oracle_s_samples(data: st.DataObject) -> None:
    log = data.draw(logs())
    coming = data.draw(arrivals(log))
    process = Process()
    restarts = data.draw(st.sets(st.integers(0, len(coming)), max_size=3))
    keeps = data.draw(st.sets(st.integers(0, len(coming)), max_size=6))
    place = 0
    while place < len(coming):
        process.take(coming[place])
        place += 1
        if place in keeps:
            process.keep(place)
        if place in restarts:
            restarts.remove(place)
            process.start()
            place = process.place
    process.made += process.join.advance(END_MS)
    process.keep(place)

    first, final = expected_samples(log, RULES)
    revisions: dict[str, list[SessionSampled]] = defaultdict(list)
    for sample in process.kept:
        revisions[sample.sample_id].append(sample)
    assert set(revisions) == set(final)
    for identity, samples in revisions.items():
        assert [sample.revision for sample in samples] == list(range(len(samples)))
        # Where nothing happened in time the first sample is made by a late purchase.
        if identity in first:
            assert seen(samples[0]) == first[identity]
        assert seen(samples[-1]) == final[identity]
        for sample in samples:
            assert SessionSampled.model_validate_json(sample.model_dump_json()) == sample


def test_exposures_wait_for_their_clicks_and_purchases() -> None:
    process = Process()
    for event in (
        trigger("ann", "r", 1000, "mobile", recent=((9, 950),)),
        candidates("ann", "r", 1000, (1, 5, 2, 6)),
        interaction("ann", 1, 1001, Behavior.EXPOSURE, request_id="r"),
        interaction("ann", 2, 1001, Behavior.EXPOSURE, request_id="r"),
        interaction("ann", 3, 1002, Behavior.EXPOSURE, request_id="r"),
        interaction("ann", 2, 1050, Behavior.CLICK, request_id="r"),
        interaction("ann", 2, 1099, Behavior.PURCHASE, request_id="r"),
        interaction("ann", 3, 1060, Behavior.CART, request_id="r"),
    ):
        assert process.take(event) is Outcome.JOINED
    assert process.made == []
    assert process.join.advance(1099) == []
    [sample] = process.join.advance(1100)
    assert (sample.user_id, sample.request_id, sample.revision) == ("ann", "r", 0)
    assert (sample.requested_at, sample.newest_event_at) == (1000, 1099)
    assert (sample.scene, sample.device, sample.model_version) == ("home", "mobile", "m")
    assert sample.item_ids == (1, 2, 3, 5, 6)
    assert sample.levels == (2, 4, 3, 1, 1)
    assert (sample.history_item_ids, sample.history_levels) == ((9,), (Level.CLICK,))


def test_a_purchase_that_comes_too_late_is_a_new_revision_and_other_events_are_counted() -> None:
    process = Process()
    process.take(interaction("ann", 1, 1000, Behavior.EXPOSURE, request_id="r"))
    [sample] = process.join.advance(1100)
    late = [
        (interaction("ann", 1, 1010, Behavior.CLICK, request_id="r"), Outcome.LATE),
        (interaction("ann", 1, 1000, Behavior.EXPOSURE, request_id="r"), Outcome.REPEATED),
        (interaction("ann", 1, 1020, Behavior.PURCHASE, request_id="r"), Outcome.CORRECTED),
        (interaction("ann", 1, 1020, Behavior.PURCHASE, request_id="r"), Outcome.REPEATED),
        (interaction("ann", 2, 1299, Behavior.PURCHASE, request_id="r"), Outcome.CORRECTED),
        (interaction("ann", 3, 1300, Behavior.PURCHASE, request_id="r"), Outcome.LATE),
        (interaction("ann", 3, 999, Behavior.PURCHASE, request_id="unknown"), Outcome.LATE),
    ]
    assert [process.take(event) for event, _outcome in late] == [outcome for _event, outcome in late]
    assert [(one.sample_id == sample.sample_id, one.revision, one.levels) for one in process.made] == [
        (True, 1, (4,)),
        (True, 2, (4, 4)),
    ]


def test_events_without_a_request_are_one_session_until_a_gap_or_the_window_parts_them() -> None:
    process = Process()
    for at in (1000, 1029, 1058, 1087, 1099, 1128, 1200):
        process.take(interaction("ann", at, at, Behavior.CLICK))
    process.made += process.join.advance(END_MS)
    assert [sample.item_ids for sample in process.made] == [(1000, 1029, 1058, 1087, 1099), (1128,), (1200,)]
    assert [sample.requested_at for sample in process.made] == [1000, 1128, 1200]
    assert all(sample.request_id is None for sample in process.made)


def test_a_late_purchase_without_a_request_corrects_the_run_that_it_belongs_to() -> None:
    process = Process()
    process.take(interaction("ann", 1, 1000, Behavior.EXPOSURE))
    [sample] = process.join.advance(1030)
    assert process.take(interaction("ann", 1, 1010, Behavior.CLICK)) is Outcome.LATE
    assert process.take(interaction("ann", 1, 1029, Behavior.PURCHASE)) is Outcome.CORRECTED
    assert process.take(interaction("ann", 1, 999, Behavior.PURCHASE)) is Outcome.LATE
    assert [(one.sample_id, one.revision) for one in process.made] == [(sample.sample_id, 1)]


def test_a_request_that_nobody_looked_at_gives_no_sample() -> None:
    process = Process()
    process.take(trigger("ann", "r", 1000))
    process.take(candidates("ann", "r", 1000, (1, 2)))
    assert process.join.advance(END_MS) == []
    assert process.join.unsampled == 1


def test_the_same_request_id_of_two_users_is_two_sessions() -> None:
    process = Process()
    for user in ("ann", "bob"):
        process.take(interaction(user, 1, 1000, request_id="r"))
    samples = process.join.advance(END_MS)
    assert len({sample.sample_id for sample in samples}) == 2


def test_a_flood_of_one_user_s_events_stays_bounded_and_is_counted() -> None:
    rules = JoinRules(
        window_ms=100_000, gap_ms=100_000, correct_ms=100_000, history_items=20, session_events=50, open_sessions=10
    )
    process = Process(rules)
    outcomes: dict[Outcome, int] = defaultdict(int)
    for number in range(20_000):
        outcomes[process.take(interaction("bot", number, 1_000_000, request_id="r"))] += 1
        outcomes[process.take(interaction("bot", number, 1_000_000))] += 1
        outcomes[process.take(interaction("bot", number, 1_000_000, request_id=f"r-{number}"))] += 1
    assert outcomes[Outcome.FLOOD] > 59_000
    [changed] = process.join.changes()
    assert len(changed.written) < 20_000
    assert process.take(interaction("ann", 1, 1_000_000, request_id="r")) is Outcome.JOINED


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_samples_taken_a_few_at_a_time_are_those_taken_at_once(data: st.DataObject) -> None:
    coming = data.draw(arrivals(data.draw(logs())))
    most = data.draw(st.integers(1, 3))
    whole, parts = SessionJoin(RULES), SessionJoin(RULES)
    for event in coming:
        whole.feed(event)
        parts.feed(event)
    found: list[SessionSampled] = []
    while parts.watermark < END_MS:
        found += parts.advance(END_MS, most)
    assert sorted(found, key=identity_of) == sorted(whole.advance(END_MS), key=identity_of)


def identity_of(sample: SessionSampled) -> tuple[str, int]:
    return sample.sample_id, sample.revision


def test_users_without_anything_open_leave_memory_and_their_past_comes_back() -> None:
    process = Process()
    process.take(interaction("ann", 7, 1000, request_id="r-1"))
    process.join.advance(1100)
    process.keep(1)
    assert process.join.users == 0
    process.take(interaction("ann", 8, 2000, request_id="r-2"))
    [sample] = process.join.advance(2100)
    assert sample.history_item_ids == (7,)


@pytest.mark.parametrize(
    "wrong",
    [{"gap_ms": 0}, {"window_ms": 1, "gap_ms": 2}, {"correct_ms": 1}, {"pseudo_exposures": 101}, {"history_items": 0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"needed|at least 1"):
        JoinRules(**wrong)  # type: ignore[arg-type]
