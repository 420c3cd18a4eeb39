"""The circumstances of a request, as far as a prompt tells them to the model.

Called by whoever builds a prompt: training from a session, precompute from a trigger.  Never reads a clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from contracts.errors import BadRequest

MS_PER_HOUR = 3_600_000
HOURS = 24
DEVICE_CLASSES = ("desktop", "mobile", "tablet", "other")

# Order decides: "android tablet" is a tablet, "mobile web" is mobile.
_DEVICE_WORDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("tablet", frozenset({"tablet", "ipad"})),
    ("mobile", frozenset({"mobile", "phone", "iphone", "smartphone", "android", "ios", "app"})),
    (
        "desktop",
        frozenset({"desktop", "pc", "web", "laptop", "computer", "mac", "macos", "windows", "linux"}),
    ),
)
_NOT_SAID = frozenset({"", "none", "unknown"})


@dataclass(frozen=True, slots=True)
class PromptContext:
    """Scene name, hour of day (UTC, 0 to 23) and device as the caller names it; None where not known.

    Raises BadRequest for an hour outside the day.
    """

    scene: str | None = None
    hour: int | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if self.hour is not None and not 0 <= self.hour < HOURS:
            raise BadRequest(f"hour must be 0 to 23, not {self.hour}")

    @classmethod
    def at(cls, timestamp_ms: int | None, scene: str | None = None, device: str | None = None) -> Self:
        """The context at a Unix time in milliseconds; the hour is UTC, for logs rarely tell a time zone."""
        hour = None if timestamp_ms is None else timestamp_ms // MS_PER_HOUR % HOURS
        return cls(scene, hour, device)


def device_class(device: str | None) -> str:
    """One of DEVICE_CLASSES, or "none" where the caller did not say."""
    said = (device or "").strip().lower()
    if said in _NOT_SAID:
        return "none"
    words = set(re.findall(r"[a-z]+", said))
    return next((name for name, known in _DEVICE_WORDS if words & known), "other")
