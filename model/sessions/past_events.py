"""One user's past, sorted, each event once: what histories are cut from."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from contracts.behaviors import Level
from model.sessions.rules import LEVEL_OF_CODE

# Dropping one by one would move the rest each time.
_SLACK = 64


class PastEvents:
    """Events by (timestamp, item, behaviour), which is also what makes two of them the same: as the history store.

    Flat arrays: an event takes 17 bytes.
    """

    __slots__ = ("codes", "items", "times")

    def __init__(self) -> None:
        self.times = array("q")
        self.items = array("q")
        self.codes = bytearray()

    def __len__(self) -> int:
        return len(self.times)

    def add(self, timestamp: int, item: int, code: int) -> None:
        """Insert it where it belongs; what is there already stays as it is."""
        times, items, codes = self.times, self.items, self.codes
        if not times or timestamp > times[-1]:
            place = len(times)
        else:
            # Halving, also among equal times: a flood may bring thousands of one second.
            place, end = bisect_left(times, timestamp), bisect_right(times, timestamp)
            while place < end:
                middle = (place + end) // 2
                found = (items[middle], codes[middle])
                if found == (item, code):
                    return
                if found < (item, code):
                    place = middle + 1
                else:
                    end = middle
        times.insert(place, timestamp)
        items.insert(place, item)
        codes.insert(place, code)

    def before(self, timestamp: int, most: int) -> tuple[list[int], list[Level]]:
        """Items and levels of the newest `most` events before this time, oldest first."""
        end = bisect_left(self.times, timestamp)
        begin = max(0, end - most)
        return self.items[begin:end].tolist(), [LEVEL_OF_CODE[code] for code in self.codes[begin:end]]

    def keep(self, most: int, before: int, whole: int) -> None:
        """Of what lies before this time only the newest `most` are needed; never hold more than `whole`."""
        count = len(self.times)
        if count <= most + _SLACK:
            return
        surplus = max(bisect_left(self.times, before) - most, count - whole)
        if surplus > _SLACK or count > whole:
            del self.times[:surplus], self.items[:surplus], self.codes[:surplus]
