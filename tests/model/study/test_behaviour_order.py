"""On a planted market LDPO finds purchase above cart above click; without it the order is left to chance."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import BadDataSet
from contracts.progress import Silent
from model.data.assemble_log import Named, RawEvents, assemble_log, nobody_knows
from model.data.data_set import DataSet
from model.data.items import ItemTable
from model.data.log import Split
from model.study.behaviour_order import (
    BEHAVIOURS,
    OrderConfig,
    held_out_behaviours,
    order_of_behaviours,
    share_right,
)

TASTES, ITEMS_EACH, USERS = 3, 30, 240


def planted(behaviours: tuple[str, ...] = BEHAVIOURS) -> DataSet:
    """Users of a taste buy its first third, put the second into the cart and click the last, equally often."""
    rng = np.random.default_rng(0)
    rows: list[tuple[int, int, int, int]] = []
    third = ITEMS_EACH // len(BEHAVIOURS)
    for user in range(USERS):
        for strength, _ in enumerate(behaviours):
            place = len(behaviours) - 1 - strength
            own = (user % TASTES) * ITEMS_EACH + place * third + rng.permutation(third)[:5]
            rows += [(user, int(item), strength, Split.TEST if n == 0 else Split.TRAIN) for n, item in enumerate(own)]
    user_E, item_E, behaviour_E, split_E = (np.array(column) for column in zip(*rows, strict=True))
    count = len(rows)
    log = assemble_log(
        RawEvents(
            user=Named(tuple(map(str, range(USERS))), user_E.astype(np.int32)),
            item=item_E + 1,
            behavior=Named(behaviours, behaviour_E.astype(np.int32)),
            timestamp=np.full(count, -1),
            request=None,
            split=split_E.astype(np.int8),
            scene=nobody_knows(count),
            device=nobody_knows(count),
        )
    )
    ids = np.arange(1, TASTES * ITEMS_EACH + 1)
    return DataSet("planted", log, ItemTable(ids, ("",) * len(ids), ("",) * len(ids)))


def test_ldpo_finds_the_planted_order_and_ntp_alone_does_not() -> None:
    found = {
        alpha: share_right(
            order_of_behaviours(planted(), OrderConfig(alpha=alpha, epochs=10, batch_users=64), 10, Silent())
        )
        for alpha in (0.0, 1.0)
    }
    assert list(found[1.0]) == ["purchase > cart", "purchase > click", "cart > click"]
    for pair in found[1.0]:
        assert found[1.0][pair].mean > 0.9
        assert found[0.0][pair].mean < 0.8
        assert found[1.0][pair].low > found[0.0][pair].high


def test_equal_seeds_give_equal_orders() -> None:
    config = OrderConfig(epochs=2)
    one, same = (order_of_behaviours(planted(), config, 10, Silent()) for _ in range(2))
    np.testing.assert_array_equal(one.right_UP, same.right_UP)
    np.testing.assert_array_equal(one.hit_U, same.hit_U)


def test_everybody_with_three_different_held_out_items_counts() -> None:
    held = held_out_behaviours(planted())
    assert held.user.tolist() == list(range(USERS))
    assert all(len(items) == USERS for items in held.item.values())


def test_a_log_without_carts_is_refused() -> None:
    with pytest.raises(BadDataSet, match="no behaviour cart"):
        order_of_behaviours(planted(("click", "purchase")), OrderConfig(), 10, Silent())
