"""The event stream: what publishers and consumer groups may rely on.

Deliberately not in the contract: order (handlers are indifferent to it), exactly once (effects are
idempotent), transactions, and a message's place in the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message handed to one consumer of a group; `attempt` counts from 1.

    `receipt` is the adapter's own handle; nobody else reads it.  `published_at`: Unix milliseconds by the stream's
    own clock, 0 where it does not say.
    """

    topic: str
    key: str
    payload: bytes
    attempt: int
    receipt: str
    published_at: int = 0


class EventPublisher(Protocol):
    """Where events go.  Raises StreamDown, and nothing else."""

    async def publish(self, topic: str, key: str, payload: bytes) -> None:
        """Return when the stream has the message: after that no crash of ours loses it."""
        ...


class EventConsumer(Protocol):
    """One member of a consumer group on one topic.

    Every message goes to one member of each group.  A delivery that is neither settled nor buried before its
    member dies, or before `retry_after_s`, is delivered again, perhaps to another member, with a higher
    attempt. All calls raise StreamDown, and nothing else; after it the same call may be made again.
    """

    async def receive(self, most: int, wait_s: float) -> list[Delivery]:
        """At most `most` messages, those due again first; waits up to `wait_s` for the first one."""
        ...

    async def ack(self, delivery: Delivery) -> None:
        """It took effect; it is never delivered to this group again."""
        ...

    async def retry_later(self, delivery: Delivery) -> None:
        """Give it back: it is delivered again after the consumer's retry delay."""
        ...

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Move it to `dead-letters` with its reason, then acknowledge it: first the one, then the other."""
        ...

    async def lag(self) -> int:
        """Messages of the topic that this group has not acknowledged."""
        ...

    async def close(self) -> None:
        """Leave the group; what was delivered and not settled goes to the others.

        Raises nothing: while the stream is down a member leaves as one that died, and is missed in its time.
        """
        ...


class EventStream(EventPublisher, Protocol):
    """A publisher that also opens consumers."""

    def consumer(self, topic: str, group: str, member: str) -> EventConsumer:
        """Join `group` on `topic` from its earliest unacknowledged message."""
        ...

    async def ping(self) -> None:
        """Raise StreamDown when the stream cannot be used now."""
        ...

    async def dead_letters(self, most: int) -> list[bytes]:
        """The newest dead letters' payloads, oldest first."""
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...
