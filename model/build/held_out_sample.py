"""A sample of held-out users that does not depend on how a log is cut into pieces."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from zlib import crc32

from contracts.behaviors import Level
from model.data.log import InteractionLog, Split
from model.data.timelines import HeldOut, log_held_out


def held_out_sample(
    logs: Iterable[InteractionLog], split: Split, history_level: Level, most: int, seed: int
) -> list[HeldOut]:
    """At most `most` users with a request in `split`, chosen by seed, in the order of their names.

    No more than `most` are ever held.
    """

    def drawn() -> Iterator[tuple[int, str, HeldOut]]:
        for log in logs:
            for user in log_held_out(log, split, history_level):
                yield crc32(f"{seed}/{user.user}".encode()), user.user, user

    return [
        user
        for _, _, user in sorted(heapq.nsmallest(most, drawn(), key=lambda each: each[:2]), key=lambda each: each[1])
    ]
