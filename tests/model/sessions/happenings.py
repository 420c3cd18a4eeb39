"""Logs for the join's tests: short times, few users, everything that may happen to a session."""

from __future__ import annotations

from hypothesis import strategies as st

from contracts.behaviors import Behavior
from contracts.messages import CandidatesComputed, InteractionRecorded, SessionSampled, TriggerRequested
from model.sessions.rules import JoinRules

from .oracle import Event, Expected, time_of

RULES = JoinRules(window_ms=100, gap_ms=30, correct_ms=300, history_items=4, pseudo_exposures=2, candidates_kept=4)
LATENESS_MS = 40
END_MS = 10**6


def interaction(
    user: str, item: int, timestamp: int, behavior: Behavior = Behavior.CLICK, **more: str | None
) -> InteractionRecorded:
    """Something done."""
    fields = {"event_id": "e", "user_id": user, "item_id": item, "timestamp": timestamp, "behavior": behavior, **more}
    return InteractionRecorded.model_validate(fields)


def trigger(
    user: str, request: str, accepted_at: int, device: str | None = None, recent: tuple[tuple[int, int], ...] = ()
) -> TriggerRequested:
    """A request; `recent` are clicks (item, timestamp)."""
    told = [{"item_id": item, "behavior": Behavior.CLICK, "timestamp": at} for item, at in recent]
    fields = {"event_id": "e", "user_id": user, "request_id": request, "accepted_at": accepted_at, "scene": "home"}
    return TriggerRequested.model_validate({**fields, "recent": tuple(told), "context": {"device": device}})


def candidates(user: str, request: str, triggered_at: int, items: tuple[int, ...]) -> CandidatesComputed:
    """A list for a request."""
    return CandidatesComputed.model_validate(
        {
            "event_id": "e",
            "user_id": user,
            "request_id": request,
            "triggered_at": triggered_at,
            "generated_at": triggered_at + 5,
            "model_version": "m",
            "catalog_version": "c",
            "item_ids": items,
        }
    )


def seen(sample: SessionSampled) -> Expected:
    """A sample in the oracle's words."""
    return Expected(
        sample_id=sample.sample_id,
        user=sample.user_id,
        request=sample.request_id,
        requested_at=sample.requested_at,
        scene=sample.scene,
        device=sample.device,
        items=tuple(zip(sample.item_ids, map(int, sample.levels), strict=True)),
        history=tuple(zip(sample.history_item_ids, map(int, sample.history_levels), strict=True)),
    )


_ITEMS = st.integers(1, 6)
_USERS = st.sampled_from(["ann", "bob"])


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """A log in order of time: requests with a trigger or without, lists, events with and without a request."""
    events: list[Event] = []
    for number in range(draw(st.integers(0, 4))):
        user, request = draw(_USERS), f"r-{number}"
        began = draw(st.integers(1000, 1500))
        if draw(st.booleans()):
            # What is told long afterwards cannot stand in the history of a session that was settled meanwhile.
            recent = tuple(draw(st.lists(st.tuples(_ITEMS, st.integers(began - 29, began + 29)), max_size=2)))
            events.append(trigger(user, request, began, draw(st.sampled_from([None, "mobile"])), recent))
            if draw(st.booleans()):
                ranked = tuple(draw(st.lists(_ITEMS, max_size=6)))
                events.append(candidates(user, request, began, ranked))
        for _ in range(draw(st.integers(0, 6))):
            at = began + draw(st.integers(-20, 320))
            behavior = draw(st.sampled_from(list(Behavior)))
            scene = draw(st.sampled_from([None, "home", "cart"]))
            events.append(interaction(user, draw(_ITEMS), at, behavior, request_id=request, scene=scene))
    for _ in range(draw(st.integers(0, 8))):
        behavior = draw(st.sampled_from(list(Behavior)))
        events.append(interaction(draw(_USERS), draw(_ITEMS), draw(st.integers(1000, 1500)), behavior))
    return sorted(events, key=time_of)


@st.composite
def arrivals(draw: st.DrawFn, log: list[Event]) -> list[Event]:
    """The log as it may arrive: each event up to the allowed lateness after later ones, some of them twice."""
    delayed = [(time_of(event) + draw(st.integers(0, LATENESS_MS)), event) for event in log]
    twice = draw(st.lists(st.sampled_from(log), max_size=5)) if log else []
    delayed += [(time_of(event) + draw(st.integers(0, LATENESS_MS)), event) for event in twice]
    order = draw(st.permutations(range(len(delayed))))
    return [delayed[place][1] for place in sorted(order, key=lambda place: delayed[place][0])]
