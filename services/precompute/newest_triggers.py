"""Which trigger of a user is the newest that this process has seen: coalescing without a round trip.

`consumer` notes every delivery as it arrives, `precompute_candidates` asks.  Other processes: see the ledger.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from contracts.ids import RequestId, UserId
from contracts.messages import TriggerRequested

# What is forgotten costs at most one computation too many: a store never goes back to an older list.
USERS_KEPT = 100_000


@dataclass(frozen=True, slots=True, order=True)
class TriggerAge:
    """Orders the triggers of one user; the event's id decides between two of the same millisecond."""

    accepted_at: int
    event_id: str

    @classmethod
    def of(cls, trigger: TriggerRequested) -> TriggerAge:
        """A trigger's."""
        return cls(trigger.accepted_at, trigger.event_id)


@dataclass(slots=True)
class NewestTriggers:
    """The newest trigger per user, of the users seen last."""

    users_kept: int = USERS_KEPT
    _newest: OrderedDict[UserId, tuple[TriggerAge, RequestId]] = field(default_factory=OrderedDict)

    def note(self, trigger: TriggerRequested) -> None:
        """Remember it if it is the user's newest."""
        age = TriggerAge.of(trigger)
        known = self._newest.get(trigger.user_id)
        if known is None or known[0] < age:
            self._newest[trigger.user_id] = (age, trigger.request_id)
        self._newest.move_to_end(trigger.user_id)
        if len(self._newest) > self.users_kept:
            self._newest.popitem(last=False)

    def successor_of(self, trigger: TriggerRequested) -> RequestId | None:
        """The request of a newer trigger of this user's, None where none is known."""
        known = self._newest.get(trigger.user_id)
        if known is None or known[0] <= TriggerAge.of(trigger):
            return None
        return known[1]
