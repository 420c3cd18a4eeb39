"""A process follows the shared set of hidden items, through expiry, outages and a store that forgets."""

from __future__ import annotations

import pytest

from contracts.errors import StoreDown
from contracts.ids import ItemId
from services.gateways.hidden_items.hidden_now import HiddenNow
from services.gateways.hidden_items.in_memory import MemoryHiddenItems
from services.gateways.hidden_items.port import HiddenSet
from services.runtime.clock import ManualClock

ONE, TWO = ItemId(1), ItemId(2)


class FlakyItems(MemoryHiddenItems):
    """A set whose server comes and goes; counts whole reads."""

    down = False
    reads = 0

    async def version(self) -> int:
        if self.down:
            raise StoreDown("no store")
        return await super().version()

    async def read(self) -> HiddenSet:
        self.reads += 1
        return await super().read()


@pytest.fixture
def items() -> FlakyItems:
    return FlakyItems()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def hidden(items: FlakyItems, clock: ManualClock) -> HiddenNow:
    return HiddenNow(items, clock)


async def test_a_change_is_seen_at_the_next_look_and_the_set_is_read_only_then(
    hidden: HiddenNow, items: FlakyItems
) -> None:
    await hidden.look()
    await items.change({ONE: 0}, [])
    await hidden.look()
    first = hidden.now
    assert first.items == {ONE}
    await hidden.look()
    assert hidden.now is first
    assert items.reads == 2
    await items.change({}, [ONE])
    await hidden.look()
    assert hidden.now.items == frozenset()
    assert hidden.now.stamp != first.stamp


async def test_an_item_expires_at_its_time_even_while_the_store_is_down(
    hidden: HiddenNow, items: FlakyItems, clock: ManualClock
) -> None:
    await items.change({ONE: clock.now_ms() + 5000, TWO: clock.now_ms() + 9000}, [])
    await hidden.look()
    before = hidden.now
    assert before.items == frozenset()
    items.down = True
    clock.advance(5)
    with pytest.raises(StoreDown):
        await hidden.look()
    assert hidden.now.items == {ONE}
    assert hidden.now.stamp != before.stamp
    clock.advance(4)
    with pytest.raises(StoreDown):
        await hidden.look()
    assert hidden.now.items == {ONE, TWO}


async def test_what_was_known_stays_hidden_while_the_store_is_down(hidden: HiddenNow, items: FlakyItems) -> None:
    await items.change({ONE: 0}, [])
    await hidden.look()
    items.down = True
    with pytest.raises(StoreDown):
        await hidden.look()
    assert hidden.now.items == {ONE}


async def test_a_store_that_came_back_empty_is_told_again(hidden: HiddenNow, items: FlakyItems) -> None:
    await items.change({ONE: 0}, [])
    await items.change({}, [])
    await hidden.look()
    items.forget()
    await items.change({TWO: 0}, [])
    await hidden.look()
    assert hidden.now.items == {ONE, TWO}
    assert (await items.read()).since == {ONE: 0, TWO: 0}


async def test_how_old_the_knowledge_is_can_be_seen(hidden: HiddenNow, clock: ManualClock) -> None:
    before = hidden.looked_s
    await hidden.look()
    clock.advance(3)
    assert (before, hidden.looked_s) == (None, clock.monotonic_s() - 3)
