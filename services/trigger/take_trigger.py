"""What stands between a trigger that reads well and its acceptance: how often one may come, and how many at once.

Both ways of `POST /trigger` call it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from services.runtime.admission import Admission
from services.runtime.clock import Clock
from services.runtime.rate_limit import RateLimit
from services.runtime.tracing import Traces, Untraced
from services.trigger.accept_trigger import AcceptTrigger, TriggerAccepted
from services.trigger.asked import TriggerAsked
from services.trigger.metrics import TriggerMetrics


@dataclass(frozen=True, slots=True)
class TakeTrigger:
    """Accept a trigger of a caller, by the id of its API key ("" where there are no keys), as part of its trace.

    Raises RateLimited, Overloaded and StreamDown.  A limit that is None does not hold.
    """

    accept: AcceptTrigger
    clock: Clock
    metrics: TriggerMetrics
    admission: Admission
    per_user: RateLimit | None = None
    per_key: RateLimit | None = None
    traces: Traces = field(default_factory=Untraced)

    async def __call__(self, asked: TriggerAsked, caller: str, parent: str | None = None) -> TriggerAccepted:
        """The event that stands for it; `parent` is the caller's traceparent."""
        now_s = self.clock.monotonic_s()
        if self.per_key is not None and caller:
            self.per_key.take(caller, now_s)
        if self.per_user is not None:
            self.per_user.take(asked.user_id, now_s)
        if not self.admission.try_enter():
            await self.admission.enter()
        try:
            about = {"request_id": asked.request_id or "", "user_id": asked.user_id}
            with self.traces.span("trigger", about, parent=parent):
                accepted = await self.accept(asked)
        finally:
            self.admission.leave()
        self.metrics.note_trigger(accepted)
        return accepted
