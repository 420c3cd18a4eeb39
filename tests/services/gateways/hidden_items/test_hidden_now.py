"""A process follows the shared set of hidden items, through expiry, outages and a store that forgets."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import StoreDown
from contracts.ids import ItemId
from services.gateways.hidden_items.hidden_now import HiddenNow
from services.gateways.hidden_items.in_memory import MemoryHiddenItems
from services.gateways.hidden_items.on_disk import DiskHiddenSet
from services.gateways.hidden_items.port import HiddenSet, Version
from services.runtime.clock import ManualClock

ONE, TWO = ItemId(1), ItemId(2)


class FlakyItems(MemoryHiddenItems):
    """A set whose server comes and goes; counts whole reads."""

    down = False
    reads = 0

    async def version(self) -> Version:
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


async def test_a_store_that_was_changed_before_anybody_looked_again_has_forgotten_all_the_same(
    hidden: HiddenNow, items: FlakyItems
) -> None:
    await items.change({ONE: 0}, [])
    await hidden.look()
    items.forget()
    await items.change({TWO: 0}, [])
    await hidden.look()
    assert hidden.now.items == {ONE, TWO}, "the number of changes is the same as before"


async def test_what_is_kept_outlives_the_process_and_an_empty_store_is_told(
    items: FlakyItems, clock: ManualClock, tmp_path: Path
) -> None:
    kept = DiskHiddenSet(tmp_path / "hidden-items")
    await items.change({ONE: 0, TWO: clock.now_ms() + 5000}, [])
    await HiddenNow(items, clock, kept).look()
    items.forget()
    items.down = True
    again = HiddenNow(items, clock, kept)
    again.recall()
    assert again.now.items == {ONE}, "at once, with the store down"
    with pytest.raises(StoreDown):
        await again.look()
    items.down = False
    clock.advance(5)
    await again.look()
    assert again.now.items == {ONE, TWO}
    assert set((await items.read()).since) == {ONE, TWO}


async def test_what_the_store_says_goes_before_what_was_kept(
    items: FlakyItems, clock: ManualClock, tmp_path: Path
) -> None:
    kept = DiskHiddenSet(tmp_path / "hidden-items")
    await items.change({ONE: 0}, [])
    await HiddenNow(items, clock, kept).look()
    await items.change({TWO: 0}, [ONE])
    again = HiddenNow(items, clock, kept)
    again.recall()
    await again.look()
    assert again.now.items == {TWO}
    assert kept.read() == await items.read()


async def test_a_damaged_file_is_said_once_and_replaced_by_what_the_store_says(
    items: FlakyItems, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "hidden-items"
    path.write_bytes(b"half a f")
    hidden = HiddenNow(items, clock, DiskHiddenSet(path))
    hidden.recall()
    [line] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert str(path) in vars(line)["reason"]
    assert hidden.now.items == frozenset()
    await items.change({ONE: 0}, [])
    await hidden.look()
    assert DiskHiddenSet(path).read() == await items.read()


async def test_a_file_that_cannot_be_written_costs_one_line_and_nothing_else(
    items: FlakyItems, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    hidden = HiddenNow(items, clock, DiskHiddenSet(tmp_path / "file" / "hidden-items"))
    for item in (ONE, TWO):
        await items.change({item: 0}, [])
        await hidden.look()
    assert hidden.now.items == {ONE, TWO}
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


async def test_how_old_the_knowledge_is_can_be_seen(hidden: HiddenNow, clock: ManualClock) -> None:
    before = hidden.looked_s
    await hidden.look()
    clock.advance(3)
    assert (before, hidden.looked_s) == (None, clock.monotonic_s() - 3)
