"""Event ids: UUIDs of version 7 (RFC 9562), so that ids sort by the time they were made.

Mains build one source per process and pass it to the verbs that stamp events.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from uuid import UUID

from contracts.ids import EventId
from services.runtime.clock import Clock

NewEventId = Callable[[], EventId]
"""Makes an id that was never made before."""

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


def uuid7(now_ms: int, bits_74: int) -> UUID:
    """The UUID of version 7 with this time (48 bits of Unix milliseconds) and these 74 random bits."""
    return UUID(int=_uuid7(now_ms, bits_74))


def _uuid7(now_ms: int, bits_74: int) -> int:
    high = (now_ms & (2**48 - 1)) << 80
    return high | _VERSION_7 | (bits_74 >> 62 & 0xFFF) << 64 | _VARIANT | bits_74 & (2**62 - 1)


def _text(number: int) -> str:
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid7_ids(clock: Clock, random: Random) -> NewEventId:
    """Ids with the clock's time; `random` should be a `random.SystemRandom` outside of tests."""

    def new_event_id() -> EventId:
        # As text at once: one is made for every request, and uuid.UUID takes twice as long.
        return EventId(_text(_uuid7(clock.now_ms(), random.getrandbits(74))))

    return new_event_id
