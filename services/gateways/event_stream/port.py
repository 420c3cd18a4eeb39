"""The event stream: what publishers and consumer groups may rely on.

Deliberately not in the contract of a group: order (handlers are indifferent to it), exactly once (effects are
idempotent), transactions, and a message's place in the stream.  Whoever has to keep what it did and how far it came in
one step reads by positions of its own: EventReader.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

NOTHING_PAUSED: frozenset[str] = frozenset()


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


class ReadMessage(msgspec.Struct, frozen=True, gc=False):
    """One message, and where its reader stands once it is done with it.

    `part` names the part of the topic that it lies in.  `position` is the adapter's own word; whoever keeps it may
    open a reader there again.  `published_at`: Unix milliseconds by the stream's own clock, 0 where it does not say.
    """

    part: str
    position: str
    key: str
    payload: bytes
    published_at: int = 0


class ReadBatch(msgspec.Struct, frozen=True):
    """What one reading brought.

    `ended`: parts that were read to their end, these messages included.  `lost`: so many messages at least were
    dropped by the stream before this reader came to them; the adapter has said so in one line.
    """

    messages: list[ReadMessage]
    ended: frozenset[str] = frozenset()
    lost: int = 0


class EventReader(Protocol):
    """Reads a whole topic by positions that its owner keeps: no group, no acknowledgement, no second delivery.

    Within a part messages come in their order, each once per opening.  Belongs to one event loop; one call at a time.
    All calls raise StreamDown, and nothing else; after it the same call may be made again, and nothing was skipped.  A
    topic that was made anew is read from its beginning.
    """

    async def parts(self) -> frozenset[str]:
        """The topic's parts; there may be more of them later."""
        ...

    async def read(self, most: int, wait_s: float, paused: Collection[str] = NOTHING_PAUSED) -> ReadBatch:
        """At most `most` messages; waits up to `wait_s` for the first one.

        Parts in `paused` bring none, and are not in `ended`; where all are paused it comes back at once.
        """
        ...

    async def keep(self, positions: Mapping[str, str]) -> None:
        """By part: what lies before these positions will not be asked for again; the stream may drop it."""
        ...

    async def lag(self) -> int:
        """Messages of the topic that were not read yet."""
        ...

    async def close(self) -> None:
        """Free the connections.  Raises nothing.  The stream goes on keeping what this reader did not read."""
        ...


class EventStream(EventPublisher, Protocol):
    """A publisher that also opens consumers and readers."""

    def consumer(self, topic: str, group: str, member: str) -> EventConsumer:
        """Join `group` on `topic` from its earliest unacknowledged message."""
        ...

    def reader(self, topic: str, name: str, positions: Mapping[str, str]) -> EventReader:
        """Read `topic` from these positions, and where a part has none, from its beginning.

        `name` is the reader's and no group's: under it the stream keeps what the reader has not read.  Raises BadInput
        for positions that this stream never gave.
        """
        ...

    async def ping(self) -> None:
        """Raise StreamDown when the stream cannot be used now."""
        ...

    async def newest(self, topic: str, most: int) -> list[bytes]:
        """The newest payloads of a topic, oldest first: for people who look.  Joins no group and leaves no mark."""
        ...

    async def dead_letters(self, most: int) -> list[bytes]:
        """The newest dead letters' payloads, oldest first."""
        ...

    async def close(self) -> None:
        """Free the connections."""
        ...
