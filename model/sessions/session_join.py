"""The join: feed it what happened, move event time on, take the samples that are due.

Pure: no clock, no I/O, nothing by chance.  Whoever calls it keeps what it remembers (`changes`), and brings users back
before their next event (`unknown`, `admit`); a user of whom nothing is open need not stay in memory (`forget_settled`).
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from contracts.behaviors import Behavior, Level
from contracts.messages import CandidatesComputed, InteractionRecorded, SessionSampled, TriggerRequested
from model.sessions.rules import CODE_OF, LEVEL_OF_CODE, JoinRules
from model.sessions.sample import sample_of, settle
from model.sessions.session import Session
from model.sessions.user_sessions import NEVER, LooseEvent, UserSessions, key_of

_LOOK_EVERY = 32


class Outcome(StrEnum):
    """What became of a message.

    LATE: its session had been settled, or would have been at once; it still enters the history.
    REPEATED: a settled session knew it already.  CORRECTED: a purchase that made a new revision.
    FLOOD: more than one user may take.
    """

    JOINED = "joined"
    REPEATED = "repeated"
    LATE = "late"
    CORRECTED = "corrected"
    FLOOD = "flood"


@dataclass(frozen=True, slots=True)
class UserChanged:
    """A user as it is to be kept; `waits` False: nothing is open, it is needed only when the user comes again."""

    user: str
    waits: bool
    written: bytes


class SessionJoin:
    """Sessions of many users in event time.  Every method is indifferent to repetition."""

    def __init__(self, rules: JoinRules) -> None:
        self.rules = rules
        self.watermark = 0
        self._users: dict[str, UserSessions] = {}
        self._changed: set[str] = set()
        self._timers: list[tuple[int, str]] = []
        self._ready: list[SessionSampled] = []
        self.unsampled = 0
        """Sessions that came to their end without any interaction."""

    def unknown(self, users: Iterable[str]) -> list[str]:
        """Those that have to be admitted before they are fed."""
        known = self._users
        return [user for user in dict.fromkeys(users) if user not in known]

    def admit(self, user: str, written: bytes | None) -> None:
        """As it was kept; None for a user whom nobody has seen.  Raises BadInput for what is no user."""
        state = UserSessions() if written is None else UserSessions.read(written)
        self._users[user] = state
        if state.waits:
            self._wake(user, state, state.next_due(self.rules))

    @property
    def users(self) -> int:
        """How many are in memory."""
        return len(self._users)

    @property
    def changed(self) -> int:
        """How many differ from what was kept."""
        return len(self._changed)

    @property
    def open_sessions(self) -> int:
        """Sessions that wait; a run of events without a request counts as one.  Walks over all users."""
        return sum(len(state.open) + bool(state.loose) for state in self._users.values())

    def feed(self, event: InteractionRecorded | TriggerRequested | CandidatesComputed) -> Outcome:
        """One event of any topic."""
        match event:
            case InteractionRecorded():
                return self.interaction(event)
            case TriggerRequested():
                return self.trigger(event)
            case CandidatesComputed():
                return self.candidates(event)

    def interaction(self, event: InteractionRecorded) -> Outcome:
        """A user did something."""
        return self.happened(
            event.user_id, event.item_id, event.behavior, event.timestamp, event.request_id, event.scene
        )

    def happened(
        self, user: str, item: int, behavior: Behavior, timestamp: int, request_id: str | None, scene: str | None
    ) -> Outcome:
        """The same, field by field.  `timestamp` in Unix milliseconds."""
        state = self._touch(user)
        code = CODE_OF[behavior]
        if LEVEL_OF_CODE[code] >= self.rules.history_level:
            self._remember(state, timestamp, item, code)
        if request_id is None:
            return self._loose(user, state, (timestamp, item, code, scene or ""))
        found = self._open(user, state, request_id, timestamp)
        if isinstance(found, Outcome):
            return found
        if request_id not in state.open:
            return self._after_the_end(user, state, found, (timestamp, item, code, scene or ""))
        if scene is not None:
            found.tell_scene(timestamp, scene)
        return Outcome.JOINED if found.add(timestamp, item, code, self.rules.session_events) else Outcome.FLOOD

    def trigger(self, event: TriggerRequested) -> Outcome:
        """A request began: where and on what; and what the user had done just before."""
        state = self._touch(event.user_id)
        for one in event.recent:
            code = CODE_OF[one.behavior]
            if LEVEL_OF_CODE[code] >= self.rules.history_level:
                self._remember(state, one.timestamp, one.item_id, code)
        found = self._open(event.user_id, state, event.request_id, event.accepted_at)
        if isinstance(found, Outcome):
            return found
        if event.request_id not in state.open:
            return Outcome.REPEATED if found.requested_at == event.accepted_at else Outcome.LATE
        if found.requested_at == 0 or event.accepted_at <= found.requested_at:
            found.requested_at = event.accepted_at
            found.scene, found.device = event.scene, event.context.device
        return Outcome.JOINED

    def candidates(self, event: CandidatesComputed) -> Outcome:
        """A list was computed for a request: what of it is not shown are its pseudo-exposures."""
        state = self._touch(event.user_id)
        found = self._open(event.user_id, state, event.request_id, event.triggered_at)
        if isinstance(found, Outcome):
            return found
        if event.request_id not in state.open:
            return Outcome.LATE if found.candidates is None else Outcome.REPEATED
        if found.requested_at == 0:
            found.requested_at = event.triggered_at
        if found.candidates is None:
            found.candidates = array("q", event.item_ids[: self.rules.candidates_kept])
            found.model_version, found.catalog_version = event.model_version, event.catalog_version
        return Outcome.JOINED

    def advance(self, watermark: int, most: int | None = None) -> list[SessionSampled]:
        """Event time has come so far: samples that are due, and corrections, in the order in which they were made.

        Where more than `most` users are due event time stops at the last of them, and the same call goes on from there.
        """
        timers = self._timers
        target = max(self.watermark, watermark)
        if most is None:
            self.watermark = target
        looked_at = 0
        while timers and timers[0][0] <= target and looked_at != most:
            due, user = heapq.heappop(timers)
            self.watermark = max(self.watermark, due)
            state = self._users.get(user)
            # A timer that was set anew, or of a user who was let go, rings for nobody.
            if state is not None and state.due == due:
                self._settle_due(user, state)
                looked_at += 1
        if not timers or timers[0][0] > target:
            self.watermark = target
        ready, self._ready = self._ready, []
        return ready

    def changes(self) -> list[UserChanged]:
        """Every user that differs from what was kept, until `forget_settled` says that these are kept."""
        return [
            UserChanged(user, state.waits, state.write())
            for user, state in ((user, self._users[user]) for user in self._changed)
        ]

    def forget_settled(self) -> None:
        """What `changes` told is kept: nothing is changed any more, and users without anything open leave memory."""
        for user in self._changed:
            if not self._users[user].waits:
                del self._users[user]
        self._changed.clear()

    def _touch(self, user: str) -> UserSessions:
        state = self._users.get(user)
        if state is None:
            state = self._users[user] = UserSessions()
        self._changed.add(user)
        return state

    def _remember(self, state: UserSessions, timestamp: int, item: int, code: int) -> None:
        past, rules = state.past, self.rules
        past.add(timestamp, item, code)
        # Worked out now and then: it looks at all of the user's sessions.
        if len(past) > rules.history_items and len(past) % _LOOK_EVERY == 0:
            past.keep(rules.history_items, state.needed_from(self.watermark, rules), rules.history_most)

    def _open(self, user: str, state: UserSessions, request_id: str, timestamp: int) -> Session | Outcome:
        """The request's session, open or settled; a new one where there is none; or why there cannot be one."""
        session = state.open.get(request_id) or state.closed.get(request_id)
        window_ms = self.rules.window_ms
        if session is None:
            if timestamp + window_ms <= self.watermark:
                return Outcome.LATE
            if len(state.open) >= self.rules.open_sessions:
                return Outcome.FLOOD
            session = state.open[request_id] = Session(request_id, timestamp)
            self._wake(user, state, timestamp + window_ms)
        elif timestamp < session.began_at and request_id in state.open:
            if timestamp + window_ms <= self.watermark:
                return Outcome.LATE
            session.began_at = timestamp
            self._wake(user, state, timestamp + window_ms)
        return session

    def _loose(self, user: str, state: UserSessions, event: LooseEvent) -> Outcome:
        timestamp = event[0]
        if timestamp < self.watermark:
            settled = self._settled_run(state, timestamp)
            if settled is not None:
                return self._after_the_end(user, state, settled, event)
            if timestamp + self.rules.gap_ms <= self.watermark:
                return Outcome.LATE
        if len(state.loose) >= self.rules.session_events:
            return Outcome.FLOOD
        state.add_loose(event)
        self._wake(user, state, timestamp + self.rules.gap_ms)
        return Outcome.JOINED

    def _settled_run(self, state: UserSessions, timestamp: int) -> Session | None:
        """The settled session without a request that an event of this time would have belonged to."""
        for session in state.closed.values():
            if session.request_id is None and session.began_at <= timestamp < session.ends_at:
                return session
        return None

    def _after_the_end(self, user: str, state: UserSessions, session: Session, event: LooseEvent) -> Outcome:
        """An event of a session that is settled: only a purchase still changes its sample."""
        timestamp, item, code, _scene = event
        level = LEVEL_OF_CODE[code]
        if level <= session.level_of(item):
            return Outcome.REPEATED
        if level < Level.PURCHASE or timestamp >= session.began_at + self.rules.correct_ms:
            return Outcome.LATE
        if not session.add(timestamp, item, code, self.rules.session_events):
            return Outcome.FLOOD
        self._ready.append(sample_of(user, session, state.past, self.rules))
        return Outcome.CORRECTED

    def _wake(self, user: str, state: UserSessions, due: int) -> None:
        if due < state.due:
            state.due = due
            heapq.heappush(self._timers, (due, user))

    def _settle_due(self, user: str, state: UserSessions) -> None:
        rules = self.rules
        for request_id, session in list(state.open.items()):
            if session.began_at + rules.window_ms <= self.watermark:
                del state.open[request_id]
                self._settle(user, state, session)
        while state.loose:
            count, due = state.first_run(rules)
            if due > self.watermark:
                break
            run, state.loose = state.loose[:count], state.loose[count:]
            self._settle(user, state, _session_of(run, due))
        state.forget_closed(self.watermark, rules)
        self._changed.add(user)
        state.due = NEVER
        if state.waits:
            self._wake(user, state, state.next_due(rules))

    def _settle(self, user: str, state: UserSessions, session: Session) -> None:
        happened, late_purchases = settle(session, self.rules)
        state.closed[key_of(session)] = session
        if happened:
            self._ready.append(sample_of(user, session, state.past, self.rules))
        else:
            self.unsampled += 1
        for timestamp, item, code in late_purchases:
            self._after_the_end(user, state, session, (timestamp, item, code, ""))


def _session_of(run: Sequence[LooseEvent], due: int) -> Session:
    """A run of events without a request as a session."""
    session = Session(None, run[0][0], ends_at=due)
    for timestamp, item, code, scene in run:
        session.add(timestamp, item, code, len(run))
        if scene:
            session.tell_scene(timestamp, scene)
    return session
