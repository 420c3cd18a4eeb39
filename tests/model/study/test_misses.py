"""Users fall into parts by what training rows say of their truth; a log small enough to say it by hand."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import BadResults
from model.data.assemble_log import Named, RawEvents, assemble_log, nobody_knows
from model.data.data_set import DataSet
from model.data.items import ItemTable
from model.data.log import Split
from model.evaluation.user_metrics import TruthMetrics, UserMetrics
from model.study.misses import Part, misses

# What each user bought in order; the last one is held out.
LOG = {
    "a": [1, 2, 3, 1],  # one of their own again
    "b": [1, 2, 5],  # c had 5 right after 2
    "c": [2, 5, 4, 2],
    "d": [4, 2],  # nobody had 2 after 4, c had it before
    "e": [3, 4],  # nobody had both
    "f": [3, 9],  # nobody had 9
}


def purchases() -> DataSet:
    names = tuple(LOG)
    rows = [
        (user, item, time, time == len(items) - 1)
        for user, items in enumerate(LOG.values())
        for time, item in enumerate(items)
    ]
    user_E, item_E, time_E, last_E = (np.array(column) for column in zip(*rows, strict=True))
    log = assemble_log(
        RawEvents(
            user=Named(names, user_E.astype(np.int32)),
            item=item_E,
            behavior=Named(("purchase",), np.zeros(len(rows), np.int32)),
            timestamp=time_E,
            request=None,
            split=np.where(last_E, Split.TEST, Split.TRAIN).astype(np.int8),
            scene=nobody_knows(len(rows)),
            device=nobody_knows(len(rows)),
        )
    )
    ids = np.arange(1, 10)
    return DataSet("purchases", log, ItemTable(ids, ("",) * len(ids), ("",) * len(ids)))


def measured(*hits: float, users: tuple[str, ...] = tuple(LOG)) -> UserMetrics:
    return UserMetrics({"purchase": TruthMetrics(users, ("HR@10",), np.array(hits)[:, None])})


def parts(*methods: UserMetrics) -> dict[tuple[str, str], Part]:
    found = misses(purchases(), Split.TEST, methods, "purchase", "HR@10")
    return {(part.by, part.name): part for part in found}


def test_relations_are_those_of_the_closest_pair() -> None:
    # Every user has a hit rate that names it.
    found = parts(measured(1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    relations = {name: (part.users, part.means) for (by, name), part in found.items() if by == "relation"}
    assert relations == {
        "had before": (2, (2.0,)),
        "follows": (1, (2.0,)),
        "neighbour": (1, (4.0,)),
        "never together": (1, (5.0,)),
        "not in training": (1, (6.0,)),
    }


def test_popularity_and_length_cover_everybody_once_for_every_method() -> None:
    one, other = measured(1, 0, 1, 0, 1, 0), measured(0, 0, 0, 1, 1, 1)
    found = parts(one, other)
    for by in ("popularity", "history", "relation"):
        own = [part for (of, _name), part in found.items() if of == by]
        assert sum(part.users for part in own) == len(LOG)
        assert np.allclose(sum(part.users * np.array(part.means) for part in own), [3, 3])
    assert found["popularity", "0"].users == 1
    assert found["history", "0 to 2"].users == 4


def test_only_users_that_all_methods_have_count() -> None:
    found = parts(measured(1, 0, 1, 0, 1, 0), measured(1.0, users=("b",)))
    assert {part.users for part in found.values()} == {1}
    with pytest.raises(BadResults, match="no held-out user"):
        parts(measured(1.0, users=("somebody else",)))


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(BadResults, match=r"no HR@7 of truth 'purchase' there, only purchase: HR@10"):
        misses(purchases(), Split.TEST, [measured(1, 0, 1, 0, 1, 0)], "purchase", "HR@7")
