"""One request of a user's while its sample is made, and afterwards, while a purchase may still correct it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from contracts.behaviors import Level
from model.sessions.rules import LEVEL_OF_CODE

NOT_SAMPLED = -1
# A behaviour's code needs three bits; a timestamp is below 2**53.
_CODE_BITS = 3
_CODE_MASK = 2**_CODE_BITS - 1


@dataclass(slots=True)
class Counted:
    """What counts of a session: per item its first time and its strongest level; the newest event of all."""

    first: dict[int, int] = field(default_factory=dict)
    level: dict[int, Level] = field(default_factory=dict)
    newest: int = 0

    def note(self, timestamp: int, item: int, level: Level) -> None:
        """One event."""
        known = self.first.get(item)
        if known is None:
            self.first[item], self.level[item] = timestamp, level
        else:
            if timestamp < known:
                self.first[item] = timestamp
            if level > self.level[item]:
                self.level[item] = level
        if timestamp > self.newest:
            self.newest = timestamp

    def items(self) -> list[int]:
        """By first time, equal times by id: the order does not depend on that of arrival."""
        return sorted(self.first, key=lambda item: (self.first[item], item))


@dataclass(slots=True)
class Session:
    """`began_at`: the earliest thing known of it.  `revision` NOT_SAMPLED: no sample was made of it yet.

    `requested_at`: when its trigger was accepted, 0 where none is known.  Events are pairs of numbers in one array
    (16 bytes an event), each as often as it was told: what it all means is worked out once, when the session is due.
    """

    request_id: str | None
    began_at: int
    ends_at: int = 0
    """Of a settled session without a request: what happened from here on was another one."""
    requested_at: int = 0
    scene: str | None = None
    device: str | None = None
    told_scene: str | None = None
    """By the earliest of its events that names one."""
    told_scene_at: int = 0
    events: array[int] = field(default_factory=lambda: array("q"))
    candidates: array[int] | None = None
    model_version: str | None = None
    catalog_version: str | None = None
    revision: int = NOT_SAMPLED
    full: bool = False

    def add(self, timestamp: int, item: int, code: int, most: int) -> bool:
        """Note an event; False where there are more than `most` different ones; that is looked at now and then."""
        if self.full:
            return False
        if len(self.events) >= 4 * most:
            self.condense()
            self.full = len(self.events) > 2 * most
        self.events.append(timestamp << _CODE_BITS | code)
        self.events.append(item)
        return True

    def tell_scene(self, timestamp: int, scene: str) -> None:
        """Equal times: the scene that sorts first."""
        if self.told_scene is None or (timestamp, scene) < (self.told_scene_at, self.told_scene):
            self.told_scene, self.told_scene_at = scene, timestamp

    def each(self) -> Iterator[tuple[int, int, int]]:
        """Timestamp, item, behaviour's code."""
        events = self.events
        for place in range(0, len(events), 2):
            packed = events[place]
            yield packed >> _CODE_BITS, events[place + 1], packed & _CODE_MASK

    def condense(self) -> None:
        """Of equal events, and of one item's events of one behaviour, the earliest is enough."""
        earliest: dict[tuple[int, int], int] = {}
        for timestamp, item, code in self.each():
            key = (item, code)
            known = earliest.get(key)
            if known is None or timestamp < known:
                earliest[key] = timestamp
        self.keep_only((timestamp, item, code) for (item, code), timestamp in earliest.items())

    def keep_only(self, events: Iterator[tuple[int, int, int]]) -> None:
        """Forget the others."""
        self.events = array(
            "q", [n for timestamp, item, code in events for n in (timestamp << _CODE_BITS | code, item)]
        )

    def level_of(self, item: int) -> int:
        """The strongest level that it has here, 0 for none."""
        return max((LEVEL_OF_CODE[code] for _time, one, code in self.each() if one == item), default=0)
