"""A log as a stream would have brought it: through the join of sessions, in event time.

`rankgr train --stream-from` and the benchmark use it.  Requests are the log's own; nothing comes late here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from contracts.behaviors import Behavior, Level
from contracts.errors import BadDataSet
from contracts.ids import EventId, ItemId, RequestId, UserId
from contracts.messages import CandidatesComputed, RequestContext, SessionSampled, TriggerRequested
from model.data.arrays import Int64
from model.data.log import InteractionLog
from model.sessions.rules import JoinRules
from model.sessions.session_join import SessionJoin

# Axes: E events that carry feedback, by time.

_BEHAVIOR_OF = {Level.EXPOSURE: Behavior.EXPOSURE, Level.CLICK: Behavior.CLICK, Level.PURCHASE: Behavior.PURCHASE}


def samples_in_time(log: InteractionLog, rules: JoinRules, begin_ms: int = 0) -> Iterator[SessionSampled]:
    """Samples of the requests from `begin_ms` on, each when its time is over; what came before is their history.

    The whole log is joined in memory.  Raises BadDataSet for a log without a clock.
    """
    if not log.clock:
        raise BadDataSet("a log without times cannot be replayed in event time: its timestamps are no Unix seconds")
    join = SessionJoin(rules)
    row_E = np.flatnonzero(log.level > 0)
    row_E = row_E[np.argsort(log.timestamp[row_E], kind="stable")]
    for sample in _joined(join, log, row_E, _pseudo_exposures(log)):
        if sample.requested_at >= begin_ms:
            yield sample


def _joined(
    join: SessionJoin, log: InteractionLog, row_E: Int64, pseudo: dict[int, tuple[ItemId, ...]]
) -> Iterator[SessionSampled]:
    begun: set[int] = set()
    for row in row_E.tolist():
        at_ms = int(log.timestamp[row]) * 1000
        yield from join.advance(at_ms)
        user, request = UserId(log.users[log.user[row]]), int(log.session[row])
        if request not in begun:
            begun.add(request)
            _begin(join, log, row, user, pseudo.get(request, ()))
        level = Level(int(log.level[row]))
        if level > Level.PSEUDO_EXPOSURE:
            join.happened(user, int(log.item[row]), _BEHAVIOR_OF[level], at_ms, str(request), _scene(log, row))
    yield from join.advance(2**53)


def _begin(join: SessionJoin, log: InteractionLog, row: int, user: UserId, pseudo: tuple[ItemId, ...]) -> None:
    """The request's trigger, and its list where the log tells what of one was not shown."""
    at_ms, request = int(log.timestamp[row]) * 1000, RequestId(str(int(log.session[row])))
    device = int(log.device[row])
    event = EventId(request)
    join.trigger(
        # What a log holds was checked when it was read.
        TriggerRequested.model_construct(
            event_id=event,
            user_id=user,
            request_id=request,
            accepted_at=at_ms,
            scene=_scene(log, row),
            context=RequestContext(device=log.devices[device] if device >= 0 else None),
        )
    )
    if pseudo:
        join.candidates(
            CandidatesComputed.model_construct(
                event_id=event,
                user_id=user,
                request_id=request,
                triggered_at=at_ms,
                generated_at=at_ms,
                model_version="",
                catalog_version="",
                item_ids=pseudo,
            )
        )


def _scene(log: InteractionLog, row: int) -> str | None:
    scene = int(log.scene[row])
    return log.scenes[scene] if scene >= 0 else None


def _pseudo_exposures(log: InteractionLog) -> dict[int, tuple[ItemId, ...]]:
    """Request -> items that were ranked for it and not shown, in the log's order."""
    row_E = np.flatnonzero(log.level == Level.PSEUDO_EXPOSURE)
    found: dict[int, list[ItemId]] = {}
    session_E: Int64 = log.session[row_E]
    for request, item in zip(session_E.tolist(), log.item[row_E].tolist(), strict=True):
        found.setdefault(request, []).append(ItemId(item))
    return {request: tuple(items) for request, items in found.items()}
