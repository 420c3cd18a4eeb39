"""A small random data set by seed, for the invariants of this folder's tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from model.data.assemble_log import Named, RawEvents, assemble_log
from model.data.data_set import DataSet
from model.data.items import ItemTable

START = 1_700_000_000


def _random_data(seed: int) -> DataSet:
    """Up to 60 events of up to 5 users: repeats, ties in time, interleaved requests, all kinds of levels."""
    rng = np.random.default_rng(seed)
    events = int(rng.integers(1, 60))
    users = int(rng.integers(1, 6))
    user = np.unique(np.append(rng.integers(users, size=events), np.arange(users)))[: min(users, events)]
    user_E = np.concatenate([user, rng.choice(user, size=events - len(user))]).astype(np.int32)
    behaviors = ("click", "exposure", "pseudo_exposure", "purchase", "search", "cart")
    behavior_E = rng.integers(len(behaviors), size=events).astype(np.int32)
    behavior_E[0] = 0
    raw = RawEvents(
        user=Named(tuple(f"user-{number}" for number in range(len(user))), user_E),
        item=rng.integers(1, 9, size=events),
        behavior=Named(behaviors, behavior_E),
        timestamp=START + rng.integers(40, size=events),
        request=rng.integers(6, size=events) if rng.random() < 0.7 else None,
        split=np.sort(rng.integers(3, size=events)).astype(np.int8) if rng.random() < 0.3 else None,
        scene=Named(("home", "search"), rng.integers(-1, 2, size=events).astype(np.int32)),
        device=Named(("mobile", "desktop"), rng.integers(-1, 2, size=events).astype(np.int32)),
    )
    log = assemble_log(raw)
    ids = np.arange(1, 10)
    titles = tuple(f"Thing {item}" if item % 3 else "" for item in ids)
    price = np.where(ids % 4 == 0, np.nan, ids * 1.5)
    return DataSet("random", log, ItemTable(ids, titles, titles, brand=titles, categories=(), price=price))


@pytest.fixture(scope="session")
def random_data() -> Callable[[int], DataSet]:
    return _random_data
