"""Items change what a channel serves: through the gate, by compare-and-set, on top of whoever was faster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contracts.errors import BundleRefused, ItemsRefused, NoSuchBundle, PointerMoved
from model.bundle.change_items import AddItems, RetireItems
from model.bundle.prompt_side import PromptSide
from model.bundle.read import Bundle, read_bundle
from model.data.new_items import BadRow, NewItem
from model.semantic_id.change_catalog import ChangedCatalog
from services.bundles.change_items import ChangeItems
from services.bundles.gate import Gate, GateRules
from services.bundles.promote import PromoteBundle, Verdict
from services.bundles.roll_back import RollBack
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import BundleStore, Channel, now_at
from services.runtime.clock import SystemClock

from ...model.bundle.growing import ITEMS, market, write_growing


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two of one catalogue and other weights.  Never change them."""
    place = tmp_path_factory.mktemp("growing")
    return [write_growing(place / f"b{seed}", seed) for seed in range(2)]


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return open_bundle_store(str(tmp_path / "store"))


@pytest.fixture
def promote(store: BundleStore) -> PromoteBundle:
    return PromoteBundle(store, SystemClock(), "a test", keep=9)


@pytest.fixture
def items(promote: PromoteBundle) -> ChangeItems:
    return ChangeItems(promote, promote.clock, tries=3)


@dataclass
class Interrupted:
    """A change during which somebody else publishes, each time it is made."""

    change: AddItems
    meanwhile: list[Callable[[], object]]
    made: list[PromptSide] = field(default_factory=list)

    def __call__(self, directory: Path, side: PromptSide) -> ChangedCatalog:
        self.made.append(side)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return self.change(directory, side)


def twin(item_id: int) -> NewItem:
    return NewItem("line 1", item_id, "Twin", market().items.text[0])


def served(store: BundleStore, tmp_path: Path, channel: Channel = Channel.LATEST) -> Bundle:
    version = now_at(store.moves(channel))
    assert version is not None
    if not (tmp_path / version).exists():
        store.fetch(version, tmp_path / version)
    return read_bundle(tmp_path / version)


def test_items_come_and_go_and_a_rollback_takes_them_back(
    items: ChangeItems, promote: PromoteBundle, store: BundleStore, growing: list[Path], tmp_path: Path
) -> None:
    first = promote(growing[0]).bundle.version
    added = items(AddItems([twin(5), twin(6)]))
    assert added.promoted is not None
    assert (added.before, added.items, added.refused) == (first, 2, ())
    assert len(served(store, tmp_path).catalog) == ITEMS + 2
    assert served(store, tmp_path).manifest.model_version == read_bundle(growing[0]).manifest.model_version
    assert items(RetireItems([5])).items == 1
    assert 5 not in served(store, tmp_path).catalog.item_id
    RollBack(store, SystemClock(), "a test")()
    assert 5 in served(store, tmp_path).catalog.item_id


def test_whoever_publishes_meanwhile_is_not_overwritten(
    items: ChangeItems, promote: PromoteBundle, store: BundleStore, growing: list[Path], tmp_path: Path
) -> None:
    promote(growing[0])
    change = Interrupted(AddItems([twin(5)]), [lambda: promote(growing[1])])
    assert items(change).items == 1
    # Twice made, the second time of the trainer's bundle, whose weights stay.
    assert len(change.made) == 2
    now = served(store, tmp_path)
    assert now.manifest.model_version == read_bundle(growing[1]).manifest.model_version
    assert 5 in now.catalog.item_id


def test_two_at_once_both_arrive(
    items: ChangeItems, promote: PromoteBundle, store: BundleStore, growing: list[Path], tmp_path: Path
) -> None:
    promote(growing[0])
    items(Interrupted(AddItems([twin(5)]), [lambda: items(AddItems([twin(6)]))]))
    assert {5, 6} <= set(served(store, tmp_path).catalog.item_id.tolist())


def test_who_is_overtaken_every_time_says_so(
    items: ChangeItems, promote: PromoteBundle, store: BundleStore, growing: list[Path]
) -> None:
    promote(growing[0])
    others = [lambda seed=seed: promote(growing[seed % 2]) for seed in range(1, 4)]
    change = Interrupted(AddItems([twin(5)]), [*others])
    with pytest.raises(PointerMoved):
        items(change)
    assert len(change.made) == 3
    assert len(store.moves(Channel.LATEST)) == 4


def test_refused_items_change_nothing_unless_they_may_be_left_out(
    items: ChangeItems, promote: PromoteBundle, store: BundleStore, growing: list[Path], tmp_path: Path
) -> None:
    promote(growing[0])
    change = AddItems([twin(5), twin(10001)], [BadRow("line 9", "item_id is missing")])
    with pytest.raises(ItemsRefused) as caught:
        items(change)
    assert caught.value.lines == (
        "line 9: item_id is missing",
        "line 1: item_id 10001 is in the catalogue already",
    )
    assert len(store.moves(Channel.LATEST)) == 1
    done = items(change, skip_bad=True)
    assert (done.items, len(done.refused)) == (1, 2)
    # Again: nothing is left to do, and nothing moves.
    again = items(change, skip_bad=True)
    assert (again.promoted, again.items, len(again.refused)) == (None, 0, 3)
    assert len(store.moves(Channel.LATEST)) == 2
    assert len(served(store, tmp_path).catalog) == ITEMS + 1


def test_the_gate_asks_it_golden_requests_and_may_refuse_it(
    store: BundleStore, growing: list[Path], promote: PromoteBundle
) -> None:
    promote(growing[0])
    gate = Gate(GateRules(60_000), SystemClock())
    passing = ChangeItems(PromoteBundle(store, SystemClock(), "a test", 9, gate), SystemClock())
    assert passing(AddItems([twin(5)])).promoted is not None

    def never(_candidate: Bundle, _serving: Bundle | None) -> Verdict:
        return Verdict("not today", {})

    strict = ChangeItems(PromoteBundle(store, SystemClock(), "a test", 9, never), SystemClock())
    with pytest.raises(BundleRefused, match="not today"):
        strict(AddItems([twin(6)]))
    assert len(store.moves(Channel.LATEST)) == 2


def test_a_canary_begins_with_what_its_followers_serve(
    items: ChangeItems, promote: PromoteBundle, store: BundleStore, growing: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(NoSuchBundle, match="has no latest"):
        items(AddItems([twin(5)]))
    promote(growing[0])
    items(AddItems([twin(5)]), Channel.CANARY)
    items(AddItems([twin(6)]), Channel.CANARY)
    assert {5, 6} <= set(served(store, tmp_path, Channel.CANARY).catalog.item_id.tolist())
    assert len(served(store, tmp_path).catalog) == ITEMS
