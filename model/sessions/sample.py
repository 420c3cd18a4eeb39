"""A session as the sample that is published of it: the one place that knows what counts."""

from __future__ import annotations

from array import array
from hashlib import blake2b

from contracts.behaviors import Level
from contracts.ids import EventId, ItemId, RequestId, UserId
from contracts.messages import SessionSampled
from model.sessions.past_events import PastEvents
from model.sessions.rules import LEVEL_OF_CODE, JoinRules
from model.sessions.session import NOT_SAMPLED, Counted, Session


def sample_id(user: str, request_id: str | None, began_at: int) -> EventId:
    """128 bits of user and request; of a session without a request id, of user and beginning."""
    name = f"r{len(user)}:{user}{request_id}" if request_id is not None else f"t{len(user)}:{user}{began_at}"
    return EventId(blake2b(name.encode(), digest_size=16).hexdigest())


def settle(session: Session, rules: JoinRules) -> tuple[bool, list[tuple[int, int, int]]]:
    """The session is due: forget what does not count for it.

    Whether anything happened in time; and purchases that came after the window (timestamp, item, code), in order, which
    are corrections from the outset.  Pseudo-exposures are chosen here, once.
    """
    session.condense()
    end = session.began_at + rules.window_ms
    last = session.began_at + rules.correct_ms
    in_time = [event for event in session.each() if event[0] < end]
    after = [event for event in session.each() if end <= event[0] < last and LEVEL_OF_CODE[event[2]] >= Level.PURCHASE]
    session.keep_only(iter(in_time))
    if session.told_scene_at >= end:
        session.told_scene = None
    if session.candidates is not None:
        shown = {item for _time, item, _code in in_time}
        chosen = [item for item in dict.fromkeys(session.candidates) if item not in shown]
        session.candidates = array("q", chosen[: rules.pseudo_exposures])
    return bool(in_time), sorted(after)


def sample_of(user: str, session: Session, past: PastEvents, rules: JoinRules) -> SessionSampled:
    """The sample of a settled session, under its next revision."""
    counted = Counted()
    for timestamp, item, code in session.each():
        counted.note(timestamp, item, LEVEL_OF_CODE[code])
    items = counted.items()
    levels = [counted.level[item] for item in items]
    for item in session.candidates or ():
        if item not in counted.level:
            items.append(item)
            levels.append(Level.PSEUDO_EXPOSURE)
    history, history_levels = past.before(session.began_at, rules.history_items)
    session.revision = 0 if session.revision == NOT_SAMPLED else session.revision + 1
    # Every value was checked when its message was read: a second look at 500 items costs more than all the rest.
    return SessionSampled.model_construct(
        sample_id=sample_id(user, session.request_id, session.began_at),
        revision=session.revision,
        user_id=UserId(user),
        request_id=None if session.request_id is None else RequestId(session.request_id),
        requested_at=session.requested_at or session.began_at,
        newest_event_at=counted.newest,
        scene=session.scene if session.scene is not None else session.told_scene,
        device=session.device,
        item_ids=tuple(map(ItemId, items)),
        levels=tuple(levels),
        history_item_ids=tuple(map(ItemId, history)),
        history_levels=tuple(history_levels),
        model_version=session.model_version,
        catalog_version=session.catalog_version,
    )
