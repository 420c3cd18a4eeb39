"""What was read of the three topics, and its messages as events; what is none of them is poison.

Each comes from a user's key: by it users are shared out among several processes, so a message whose key is not its
user is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from contracts.errors import BadMessage
from contracts.messages import CandidatesComputed, InteractionRecorded, Topic, TriggerRequested
from services.gateways.event_stream.murmur2 import partition_of
from services.gateways.event_stream.port import ReadBatch, ReadMessage

# Clocks of clients differ; more than this is no clock.
MOST_AHEAD_MS = 3_600_000

Event = InteractionRecorded | TriggerRequested | CandidatesComputed

KINDS: dict[str, type[InteractionRecorded] | type[TriggerRequested] | type[CandidatesComputed]] = {
    Topic.TRIGGERS: TriggerRequested,
    Topic.CANDIDATES: CandidatesComputed,
    Topic.INTERACTIONS: InteractionRecorded,
}


@dataclass(frozen=True, slots=True)
class Share:
    """Which users are ours: those whose key falls to number `number` of `count`, as keys fall to Kafka's partitions."""

    number: int = 0
    count: int = 1

    @property
    def name(self) -> str:
        """What a state and a reader are called by."""
        return f"{self.number}-of-{self.count}"

    def has(self, key: str) -> bool:
        """Whether this user is ours."""
        return self.count == 1 or partition_of(key.encode(errors="replace"), self.count) == self.number


@dataclass(frozen=True, slots=True)
class Taken:
    """One reading.  `batch` None: the topic could not be read.  `asked_at_ms`: wall time when it began.

    `parts`: all of the topic's, empty while they are not known.
    """

    topic: str
    batch: ReadBatch | None
    asked_at_ms: int
    parts: frozenset[str]


def event_in(topic: str, message: ReadMessage, now_ms: int) -> Event:
    """Raises BadMessage, also for what lies too far in the future: its session would stay open until then."""
    kind = KINDS[topic]
    try:
        event: Event = kind.model_validate_json(message.payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise BadMessage(f"no {kind.__name__}: {place or 'payload'}: {first['msg']}") from error
    if event.user_id != message.key:
        raise BadMessage(f"no {kind.__name__} of this key: it is another user's")
    ahead_ms = time_of(event) - (message.published_at or now_ms)
    if ahead_ms > MOST_AHEAD_MS:
        raise BadMessage(f"{kind.__name__} happens {ahead_ms // 1000} s after its publication")
    return event


def time_of(event: Event) -> int:
    """When it happened, Unix milliseconds."""
    match event:
        case InteractionRecorded():
            return event.timestamp
        case TriggerRequested():
            return event.accepted_at
        case CandidatesComputed():
            return event.triggered_at
