"""What every bundle store promises: on a directory, on object stores, on whatever fsspec opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from contracts.errors import BadBundle, NoSuchBundle, PointerMoved
from contracts.manifest import MANIFEST_FILE
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.in_objects import ObjectBlobs
from services.gateways.bundle_store.port import BundleStore, Channel, Move, Refusal, before, next_move, now_at
from services.gateways.bundle_store.record_log import KEPT
from services.gateways.bundle_store.versions import REFUSED_KEPT, UPLOAD_MS, VersionedBundleStore

from .published import NOW_MS, content_of, directory_of


@pytest.fixture(params=["directory", "file-url", "memory", "fsspec-local", pytest.param("s3", marks=pytest.mark.heavy)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BundleStore]:
    place = tmp_path / "store"
    match request.param:
        case "directory":
            yield open_bundle_store(str(place))
        case "file-url":
            yield open_bundle_store(f"file://{place}")
        case "fsspec-local":
            yield VersionedBundleStore(ObjectBlobs(LocalFileSystem(auto_mkdir=True), str(place), "file"))
        case "s3":
            yield open_bundle_store(request.getfixturevalue("s3_url"))
        case _:
            yield open_bundle_store(f"memory://{tmp_path.name}/store")
            fsspec.filesystem("memory").store.clear()


def promoted(store: BundleStore, channel: Channel, version: str | None, **said: object) -> Move:
    move = Move(number=next_move(store.moves(channel)), version=version, at_ms=NOW_MS).model_copy(update=said)
    store.move(channel, move)
    return move


def test_a_new_store_is_empty(store: BundleStore) -> None:
    assert store.bundles() == []
    assert store.moves(Channel.LATEST) == ()
    assert store.refusals() == []
    with pytest.raises(NoSuchBundle):
        store.bundle("000000000000")


def test_what_was_published_comes_back_byte_for_byte(store: BundleStore, tmp_path: Path) -> None:
    directory = directory_of(tmp_path, "tea")
    found = store.publish(directory, NOW_MS)
    assert found.manifest.model_version == "tea"
    assert found.nbytes == sum(map(len, content_of(directory).values()))
    assert store.bundles() == [found]
    assert store.bundle(found.version) == found
    (tmp_path / "back").mkdir()
    store.fetch(found.version, tmp_path / "back")
    assert content_of(tmp_path / "back") == content_of(directory)


def test_a_part_of_a_version_can_be_fetched_alone(store: BundleStore, tmp_path: Path) -> None:
    version = store.publish(directory_of(tmp_path, "tea"), NOW_MS).version
    (tmp_path / "back").mkdir()
    store.fetch(version, tmp_path / "back", {"features/words.json", "not there"})
    assert sorted(content_of(tmp_path / "back")) == ["features/words.json", MANIFEST_FILE]


def test_equal_files_are_one_version(store: BundleStore, tmp_path: Path) -> None:
    first = store.publish(directory_of(tmp_path / "a", "tea"), NOW_MS)
    assert store.publish(directory_of(tmp_path / "b", "tea", minute=5), NOW_MS) == first
    assert len(store.bundles()) == 1


def test_versions_are_listed_by_age(store: BundleStore, tmp_path: Path) -> None:
    for minute, word in ((5, "tea"), (1, "coffee"), (9, "milk")):
        store.publish(directory_of(tmp_path, word, minute), NOW_MS)
    assert [one.manifest.model_version for one in store.bundles()] == ["coffee", "tea", "milk"]


def test_a_damaged_bundle_never_becomes_visible(store: BundleStore, tmp_path: Path) -> None:
    for word, damage in (("short", b"weights"), ("gone", None)):
        directory = directory_of(tmp_path, word)
        (directory / "model.safetensors").unlink()
        if damage is not None:
            (directory / "model.safetensors").write_bytes(damage)
        with pytest.raises(BadBundle, match=r"model\.safetensors"):
            store.publish(directory, NOW_MS)
    assert store.bundles() == []


def test_a_manifest_that_leads_elsewhere_is_refused(store: BundleStore, tmp_path: Path) -> None:
    directory = directory_of(tmp_path, "tea")
    raw = (directory / MANIFEST_FILE).read_text()
    (directory / MANIFEST_FILE).write_text(raw.replace("features/words.json", "../../words.json"))
    with pytest.raises(BadBundle, match="outside the bundle"):
        store.publish(directory, NOW_MS)
    (directory / MANIFEST_FILE).write_text(raw.replace('"format":1', '"format":2'))
    with pytest.raises(BadBundle, match="format"):
        store.publish(directory, NOW_MS)
    with pytest.raises(BadBundle, match="is this a bundle"):
        store.publish(tmp_path / "nowhere", NOW_MS)
    assert store.bundles() == []


def test_a_channel_points_where_it_was_last_moved(store: BundleStore, tmp_path: Path) -> None:
    tea = store.publish(directory_of(tmp_path, "tea"), NOW_MS).version
    milk = store.publish(directory_of(tmp_path, "milk"), NOW_MS).version
    first = promoted(store, Channel.LATEST, tea, by="a person", note="why not")
    second = promoted(store, Channel.LATEST, milk)
    assert store.moves(Channel.LATEST) == (first, second)
    assert now_at(store.moves(Channel.LATEST)) == milk
    assert store.moves(Channel.CANARY) == ()
    promoted(store, Channel.CANARY, tea)
    promoted(store, Channel.CANARY, None, kind="withdraw")
    assert now_at(store.moves(Channel.CANARY)) is None


def test_a_channel_does_not_move_to_what_is_not_there(store: BundleStore) -> None:
    with pytest.raises(NoSuchBundle):
        promoted(store, Channel.LATEST, "000000000000")
    assert store.moves(Channel.LATEST) == ()


def test_of_two_movers_who_saw_the_same_one_wins_and_the_other_is_told(store: BundleStore, tmp_path: Path) -> None:
    tea = store.publish(directory_of(tmp_path, "tea"), NOW_MS).version
    milk = store.publish(directory_of(tmp_path, "milk"), NOW_MS).version
    store.move(Channel.LATEST, Move(number=1, version=tea, at_ms=NOW_MS))
    with pytest.raises(PointerMoved, match=tea):
        store.move(Channel.LATEST, Move(number=1, version=milk, at_ms=NOW_MS))
    with pytest.raises(PointerMoved):
        store.move(Channel.LATEST, Move(number=3, version=milk, at_ms=NOW_MS))
    assert now_at(store.moves(Channel.LATEST)) == tea


def test_old_moves_are_forgotten_and_nobody_writes_into_the_past(store: BundleStore, tmp_path: Path) -> None:
    tea = store.publish(directory_of(tmp_path, "tea"), NOW_MS).version
    for _ in range(KEPT + 3):
        promoted(store, Channel.LATEST, tea)
    moves = store.moves(Channel.LATEST)
    assert [move.number for move in moves] == list(range(4, KEPT + 4))
    for number in (1, 2, 3, 4, KEPT + 3):
        with pytest.raises(PointerMoved):
            store.move(Channel.LATEST, Move(number=number, version=tea, at_ms=NOW_MS))
    assert store.moves(Channel.LATEST) == moves


def test_retention_keeps_what_is_needed(store: BundleStore, tmp_path: Path) -> None:
    words = ["a", "b", "c", "d", "e", "f"]
    version = {
        word: store.publish(directory_of(tmp_path, word, minute), NOW_MS).version for minute, word in enumerate(words)
    }
    promoted(store, Channel.LATEST, version["b"])
    promoted(store, Channel.LATEST, version["c"])
    promoted(store, Channel.CANARY, version["a"])
    assert sorted(store.retain(1, NOW_MS)) == sorted([version["d"], version["e"]])
    assert [one.manifest.model_version for one in store.bundles()] == ["a", "b", "c", "f"]
    assert store.retain(1, NOW_MS) == []
    assert store.retain(0, NOW_MS) == [version["f"]]
    # What is gone can be published again.
    assert store.publish(tmp_path / "d", NOW_MS).version == version["d"]


def test_what_was_refused_is_kept_aside_for_a_while(store: BundleStore, tmp_path: Path) -> None:
    directory = directory_of(tmp_path, "tea")
    refusals = [
        Refusal(name=f"tea-{number}", reason="too slow", at_ms=NOW_MS + number, figures={"ms": 9.5})
        for number in range(REFUSED_KEPT + 2)
    ]
    for refusal in refusals:
        store.set_aside(directory, refusal)
    assert store.refusals() == refusals[2:]
    assert store.bundles() == []


def test_a_directory_that_is_hardly_a_bundle_is_not_copied_whole(tmp_path: Path) -> None:
    place = tmp_path / "store"
    directory = directory_of(tmp_path, "tea")
    (directory / "diary.txt").write_text("private")
    open_bundle_store(str(place)).set_aside(directory, Refusal(name="a", reason="no", at_ms=1))
    (directory / MANIFEST_FILE).write_text("{")
    open_bundle_store(str(place)).set_aside(directory, Refusal(name="b", reason="no", at_ms=2))
    kept = {path.relative_to(place / "refused").as_posix() for path in (place / "refused").rglob("*") if path.is_file()}
    assert kept == {
        *(f"a/{name}" for name in ("model.safetensors", "features/words.json", MANIFEST_FILE, "refusal.json")),
        *(f"b/{name}" for name in (MANIFEST_FILE, "refusal.json")),
    }


def test_one_at_a_time_has_its_turn(store: BundleStore) -> None:
    mine = store.take_turn("one", NOW_MS + 1000, NOW_MS)
    assert mine is not None
    assert store.take_turn("two", NOW_MS + 1000, NOW_MS + 999) is None
    store.end_turn(mine)
    other = store.take_turn("two", NOW_MS + 2000, NOW_MS + 999)
    assert other is not None
    # A turn that is over gives nothing back.
    store.end_turn(mine)
    assert store.take_turn("three", NOW_MS + 2000, NOW_MS + 1000) is None
    # Its holder died: the time passes.
    assert store.take_turn("three", NOW_MS + 9000, NOW_MS + 2001) is not None
    # Who comes back under the same name has it still.
    assert store.take_turn("three", NOW_MS + 9500, NOW_MS + 2002) is not None


def test_what_a_publisher_left_behind_is_swept(tmp_path: Path) -> None:
    store = open_bundle_store(str(tmp_path / "store"))
    version = store.publish(directory_of(tmp_path, "tea"), NOW_MS).version
    # As if it had died before the manifest.
    (tmp_path / "store" / "versions" / version / MANIFEST_FILE).unlink()
    (tmp_path / "store" / "uploads").mkdir(exist_ok=True)
    (tmp_path / "store" / "uploads" / f"{version}.json").write_text(f'{{"at_ms": {NOW_MS}}}')
    assert store.bundles() == []
    store.retain(3, NOW_MS + UPLOAD_MS - 1)
    assert (tmp_path / "store" / "versions" / version).exists()
    store.retain(3, NOW_MS + UPLOAD_MS)
    assert not (tmp_path / "store" / "versions" / version).exists()
    assert not list((tmp_path / "store" / "uploads").glob("*"))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", None),
        ("a", None),
        ("ab", "a"),
        ("abc", "b"),
        ("abB", "a"),
        ("abA", None),
        ("abcB", "a"),
        ("abcBA", None),
        ("abAc", "a"),
        ("ab-", "a"),
        ("aab", "a"),
        ("abcBd", "b"),
    ],
)
def test_where_a_rollback_leads(path: str, found: str | None) -> None:
    """Small letters promote, capitals roll back, a dash withdraws."""
    moves = tuple(
        Move(
            number=number,
            version=None if letter == "-" else letter.lower(),
            at_ms=0,
            kind="rollback" if letter.isupper() else "promote",
        )
        for number, letter in enumerate(path, 1)
    )
    assert before(moves) == found
