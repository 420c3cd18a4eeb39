"""Random session samples of a toy world, as the topic would bring them."""

from __future__ import annotations

import numpy as np

from contracts.behaviors import Level
from contracts.ids import EventId, ItemId, UserId
from contracts.messages import SessionSampled
from model.training.incremental.stream_sample import StreamSample

BEGAN_MS = 1_763_769_600_000
MINUTE_MS = 60_000
ITEMS = 12


def message(number: int, *, revision: int = 0, minutes: float | None = None, items: int = ITEMS) -> SessionSampled:
    """The sample of request `number`, one a minute where `minutes` does not say when; one item in five is unknown."""
    chance = np.random.default_rng(number)
    known = int(items * 1.25)
    count = int(chance.integers(1, 4))
    past = int(chance.integers(1, 9))
    levels = np.sort(chance.integers(1, 5, count))[::-1]
    at = BEGAN_MS + round((number if minutes is None else minutes) * MINUTE_MS)
    return SessionSampled(
        sample_id=EventId(f"sample-{number}"),
        revision=revision,
        user_id=UserId(f"u{number % 7}"),
        requested_at=at,
        newest_event_at=at + 1000 * (1 + revision),
        scene=("home", "search", None)[number % 3],
        device="mobile",
        item_ids=tuple(ItemId(int(item)) for item in chance.choice(known, count, replace=False) + 1),
        levels=tuple(Level(int(level)) for level in levels) if revision == 0 else (Level.PURCHASE,) * count,
        history_item_ids=tuple(ItemId(int(item)) for item in chance.integers(1, known + 1, past)),
        history_levels=tuple(Level(int(level)) for level in chance.integers(3, 5, past)),
    )


def sample(number: int, *, revision: int = 0, minutes: float | None = None, items: int = ITEMS) -> StreamSample:
    """The same as training keeps it."""
    return StreamSample.of(message(number, revision=revision, minutes=minutes, items=items))
