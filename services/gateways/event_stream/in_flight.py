"""How much may be on its way to a stream at once, by number and by size: above it an event is refused at once.

Publishers of both streams keep one; memory then does not grow while a stream does not answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.errors import StreamBusy


@dataclass(slots=True)
class InFlight:
    """Events that are neither acknowledged nor given up.  Every `begin` needs its `end`."""

    most_events: int = 10_000
    most_bytes: int = 64 * 1024 * 1024
    events: int = field(default=0, init=False)
    bytes_: int = field(default=0, init=False)

    def begin(self, size: int) -> None:
        """One more of this size.  Raises StreamBusy, which changes nothing."""
        if self.events >= self.most_events or self.bytes_ + size > self.most_bytes:
            raise StreamBusy(self.events)
        self.events += 1
        self.bytes_ += size

    def end(self, size: int) -> None:
        """It is acknowledged, or given up."""
        self.events -= 1
        self.bytes_ -= size
