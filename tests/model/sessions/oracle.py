"""What the samples of a whole log must be, worked out slowly from all of it at once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from contracts.behaviors import LEVEL_OF, Level
from contracts.messages import CandidatesComputed, InteractionRecorded, TriggerRequested
from model.sessions.rules import JoinRules
from model.sessions.sample import sample_id

Event = InteractionRecorded | TriggerRequested | CandidatesComputed


@dataclass(frozen=True, slots=True)
class Expected:
    """A sample without what no rule is about."""

    sample_id: str
    user: str
    request: str | None
    requested_at: int
    scene: str | None
    device: str | None
    items: tuple[tuple[int, int], ...]
    """(item, level) in order."""
    history: tuple[tuple[int, int], ...]


def time_of(event: Event) -> int:
    """When it happened."""
    match event:
        case InteractionRecorded():
            return event.timestamp
        case TriggerRequested():
            return event.accepted_at
        case CandidatesComputed():
            return event.triggered_at


def expected_samples(events: list[Event], rules: JoinRules) -> tuple[dict[str, Expected], dict[str, Expected]]:
    """By sample id: what is published first, and what stands in the end, after every correction."""
    first: dict[str, Expected] = {}
    final: dict[str, Expected] = {}
    by_user: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_user[event.user_id].append(event)
    for user, own in by_user.items():
        for request, of_session in _sessions(own, rules):
            for corrected, found in ((False, first), (True, final)):
                sample = _sample(user, request, of_session, own, rules, corrected)
                if sample is not None:
                    found[sample.sample_id] = sample
    return first, final


def _sessions(own: list[Event], rules: JoinRules) -> list[tuple[str | None, list[Event]]]:
    named: dict[str, list[Event]] = defaultdict(list)
    loose: dict[tuple[int, int, str], InteractionRecorded] = {}
    for event in own:
        if event.request_id is not None:
            named[event.request_id].append(event)
        else:
            assert isinstance(event, InteractionRecorded)
            loose[event.timestamp, event.item_id, event.behavior] = event
    found: list[tuple[str | None, list[Event]]] = list(named.items())
    run: list[Event] = []
    for event in sorted(loose.values(), key=lambda one: one.timestamp):
        if run and (
            event.timestamp - time_of(run[-1]) >= rules.gap_ms or event.timestamp - time_of(run[0]) >= rules.window_ms
        ):
            found.append((None, run))
            run = []
        run.append(event)
    return [*found, (None, run)] if run else found


def _sample(
    user: str, request: str | None, events: list[Event], own: list[Event], rules: JoinRules, corrected: bool
) -> Expected | None:
    began = min(time_of(event) for event in events)
    triggers = sorted(
        (event for event in events if isinstance(event, TriggerRequested)), key=lambda one: one.accepted_at
    )
    lists = [event for event in events if isinstance(event, CandidatesComputed)]
    done = [event for event in events if isinstance(event, InteractionRecorded)]
    counts = [event for event in done if event.timestamp < began + rules.window_ms]
    shown = {event.item_id for event in counts}
    if corrected:
        counts += [
            event
            for event in done
            if LEVEL_OF[event.behavior] == Level.PURCHASE
            and began + rules.window_ms <= event.timestamp < began + rules.correct_ms
        ]
    if not counts:
        return None
    level = {event.item_id: 0 for event in counts}
    seen = {event.item_id: event.timestamp for event in counts}
    for event in counts:
        level[event.item_id] = max(level[event.item_id], LEVEL_OF[event.behavior])
        seen[event.item_id] = min(seen[event.item_id], event.timestamp)
    items = [(item, level[item]) for item in sorted(level, key=lambda one: (seen[one], one))]
    if lists:
        ranked = [item for item in dict.fromkeys(lists[0].item_ids[: rules.candidates_kept]) if item not in shown]
        items += [(item, 1) for item in ranked[: rules.pseudo_exposures] if item not in level]
    past = {
        (event.timestamp, event.item_id, event.behavior)
        for event in own
        if isinstance(event, InteractionRecorded) and event.timestamp < began
    }
    past |= {
        (one.timestamp, one.item_id, one.behavior)
        for event in own
        if isinstance(event, TriggerRequested)
        for one in event.recent
        if one.timestamp < began
    }
    strong = [one for one in sorted(past) if LEVEL_OF[one[2]] >= rules.history_level]
    told = sorted(
        (event.timestamp, event.scene)
        for event in done
        if event.scene is not None and event.timestamp < began + rules.window_ms
    )
    accepted = [event.accepted_at for event in triggers] + [event.triggered_at for event in lists]
    return Expected(
        sample_id=sample_id(user, request, began),
        user=user,
        request=request,
        requested_at=min(accepted, default=began),
        scene=triggers[0].scene if triggers and triggers[0].scene is not None else (told[0][1] if told else None),
        device=triggers[0].context.device if triggers else None,
        items=tuple(items),
        history=tuple((item, int(LEVEL_OF[behavior])) for _time, item, behavior in strong[-rules.history_items :]),
    )
