"""A store that fills up, is not there, loses a part, is raced for: nothing half becomes visible, one line says why."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from contracts.errors import BadBundle, BadRequest, BundleStoreDown, PointerMoved
from contracts.manifest import MANIFEST_FILE, Manifest
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.in_objects import ObjectBlobs
from services.gateways.bundle_store.on_disk import PARTIAL
from services.gateways.bundle_store.port import Channel, Move, now_at
from services.gateways.bundle_store.versions import VersionedBundleStore
from tests.model.bundle.contents import sign_again
from tests.small_disk import SmallDisk

from .published import NOW_MS, directory_of

MOVERS = 4
MOVES = 12
PUBLISHER = """
import sys
from pathlib import Path
from services.gateways.bundle_store.chosen import open_bundle_store
open_bundle_store(sys.argv[1]).publish(Path(sys.argv[2]), 0)
"""
MOVER = """
import sys
from contracts.errors import PointerMoved
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import Channel, Move, next_move
url, version, name, moves = sys.argv[1:]
store, won, lost = open_bundle_store(url), 0, 0
sys.stdin.readline()
while won < int(moves):
    try:
        number = next_move(store.moves(Channel.LATEST))
        store.move(Channel.LATEST, Move(number=number, version=version, at_ms=0, by=name))
        won += 1
    except PointerMoved:
        lost += 1
print(won, lost)
"""


class FullMemory(MemoryFileSystem):  # type: ignore[misc]
    """Takes so many bytes and no more."""

    protocol = "full"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    left = 1000

    def open(self, path: str, mode: str = "rb", **kwargs: object) -> Any:  # noqa: ANN401 - fsspec's files
        file = super().open(path, mode, **kwargs)
        if "w" in mode:
            plain = file.write

            def write(data: bytes) -> int:
                self.left -= len(data)
                if self.left < 0:
                    raise OSError(28, "No space left on device")
                return int(plain(data))

            file.write = write
        return file


class LossyMemory(MemoryFileSystem):  # type: ignore[misc]
    """Keeps the first half of every large file, and says nothing."""

    protocol = "lossy"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}

    def open(self, path: str, mode: str = "rb", **kwargs: object) -> Any:  # noqa: ANN401 - fsspec's files
        file = super().open(path, mode, **kwargs)
        if "w" in mode and path.endswith("safetensors"):
            plain = file.write
            file.write = lambda data: plain(data[: len(data) // 2])
        return file


class RacedMemory(MemoryFileSystem):  # type: ignore[misc]
    """Somebody else publishes as soon as the store's listing was read."""

    protocol = "raced"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    race: Callable[[], object] | None = None

    def find(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - what fsspec answers
        found = super().find(*args, **kwargs)
        race, self.race = self.race, None
        if race is not None:
            race()
        return found


def size_of(path: Path) -> int:
    """A file's bytes; nothing where it went meanwhile, for it has its name only until it is whole."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def over(files: object) -> VersionedBundleStore:
    return VersionedBundleStore(ObjectBlobs(files, "/store", "memory://store"))


def test_a_full_store_shows_nothing_and_says_so(tmp_path: Path) -> None:
    store = over(FullMemory())
    with pytest.raises(BundleStoreDown, match="No space left on device") as caught:
        store.publish(directory_of(tmp_path, "tea"), NOW_MS)
    assert "\n" not in str(caught.value)
    assert store.bundles() == []


def test_a_full_disk_shows_nothing_and_leaves_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file may not grow beyond this: what a full disk says, with another errno.
    import resource
    import signal

    directory = directory_of(tmp_path, "tea")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(BundleStoreDown, match="File too large"):
            open_bundle_store(str(tmp_path / "store")).publish(directory, NOW_MS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    store = open_bundle_store(str(tmp_path / "store"))
    assert store.bundles() == []
    assert not [path for path in (tmp_path / "store").rglob(".*") if path.is_file()]
    # With room again the same publication goes through.
    assert store.publish(directory, NOW_MS).manifest.model_version == "tea"


def test_a_disk_that_is_really_full_shows_nothing_and_is_whole_again_with_room(
    small_disk: SmallDisk, tmp_path: Path
) -> None:
    store = open_bundle_store(str(small_disk.place / "store"))
    milk = store.publish(directory_of(tmp_path, "milk"), NOW_MS)
    store.move(Channel.LATEST, Move(number=1, version=milk.version, at_ms=NOW_MS))
    directory = directory_of(tmp_path, "tea")
    # What fits of it is a part only: it ends in the middle of the largest file.
    (directory / "model.safetensors").write_bytes(bytes(20_000_000))
    sign_again(directory, "model.safetensors")
    for full in (False, True):
        if full:
            small_disk.fill()
        with pytest.raises(BundleStoreDown, match="No space left on device") as caught:
            store.publish(directory, NOW_MS)
        assert "\n" not in str(caught.value)
        with pytest.raises(BundleStoreDown if full else PointerMoved):
            store.move(Channel.LATEST, Move(number=2 if full else 1, version=milk.version, at_ms=NOW_MS))
        again = open_bundle_store(str(small_disk.place / "store"))
        assert again.bundles() == [milk]
        assert now_at(again.moves(Channel.LATEST)) == milk.version
        assert not list((small_disk.place / "store" / PARTIAL).iterdir())
    small_disk.make_room()
    coffee = store.publish(directory_of(tmp_path, "coffee", 5), NOW_MS)
    store.move(Channel.LATEST, Move(number=2, version=coffee.version, at_ms=NOW_MS))
    assert open_bundle_store(str(small_disk.place / "store")).bundles() == [milk, coffee]


def test_a_publisher_that_is_killed_leaves_nothing_that_is_seen_and_nothing_for_ever(tmp_path: Path) -> None:
    place, directory = tmp_path / "store", directory_of(tmp_path, "tea")
    content = b"weights" * 20_000_000
    (directory / "model.safetensors").write_bytes(content)
    manifest = Manifest.model_validate_json((directory / MANIFEST_FILE).read_bytes())
    files = manifest.files | {"model.safetensors": hashlib.sha256(content).hexdigest()}
    (directory / MANIFEST_FILE).write_text(manifest.model_copy(update={"files": files}).model_dump_json())
    publisher = subprocess.Popen([sys.executable, "-c", PUBLISHER, str(place), str(directory)])
    try:
        while not any(size_of(path) > 1000 for path in (place / PARTIAL).glob("*")):
            assert publisher.poll() is None, "it was killed too late"
    finally:
        publisher.kill()
        publisher.wait()
    store = open_bundle_store(str(place))
    assert store.bundles() == []
    [left] = (place / PARTIAL).iterdir()
    os.utime(left, (0, 0))
    assert store.publish(directory, NOW_MS).nbytes > len(content)
    assert not list((place / PARTIAL).iterdir())


def test_what_did_not_arrive_whole_is_found_when_it_is_read_back(tmp_path: Path) -> None:
    store = over(LossyMemory())
    with pytest.raises(BadBundle, match=r"model\.safetensors of \w+ did not arrive"):
        store.publish(directory_of(tmp_path, "tea"), NOW_MS)
    assert store.bundles() == []


def test_a_version_published_while_retention_looks_is_not_removed(tmp_path: Path) -> None:
    files = RacedMemory()
    store = over(files)
    for name in ("milk", "coffee"):
        store.publish(directory_of(tmp_path, name), NOW_MS)
    files.race = lambda: store.publish(directory_of(tmp_path, "tea"), NOW_MS)
    assert len(store.retain(1, NOW_MS)) == 1
    assert "tea" in {one.manifest.model_version for one in store.bundles()}


def test_a_store_that_is_no_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    store = open_bundle_store(str(tmp_path / "file"))
    for ask in (store.bundles, store.refusals, lambda: store.moves(Channel.LATEST)):
        with pytest.raises(BundleStoreDown) as caught:
            ask()
        assert "\n" not in str(caught.value)
    with pytest.raises(BundleStoreDown):
        store.publish(directory_of(tmp_path, "tea"), NOW_MS)


def test_a_record_that_is_none_is_not_taken_for_one(tmp_path: Path) -> None:
    place = tmp_path / "store" / "channels" / "latest"
    place.mkdir(parents=True)
    (place / "0000000001.json").write_text("{")
    with pytest.raises(BundleStoreDown, match="no Move"):
        open_bundle_store(str(tmp_path / "store")).moves(Channel.LATEST)


def test_a_version_whose_manifest_was_damaged_hides_no_other(tmp_path: Path) -> None:
    place = tmp_path / "store"
    store = open_bundle_store(str(place))
    tea = store.publish(directory_of(tmp_path, "tea"), NOW_MS).version
    milk = store.publish(directory_of(tmp_path, "milk"), NOW_MS)
    (place / "versions" / tea / MANIFEST_FILE).write_text("{")
    again = open_bundle_store(str(place))
    assert again.bundles() == [milk]
    with pytest.raises(BadBundle, match="not a manifest"):
        again.bundle(tea)


@pytest.mark.parametrize("kind", ["directory", pytest.param("s3", marks=pytest.mark.heavy)])
def test_processes_that_move_one_channel_at_once_lose_no_move(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue("s3_url") if kind == "s3" else str(tmp_path / "store")
    store = open_bundle_store(url)
    version = store.publish(directory_of(tmp_path, "tea"), NOW_MS).version
    movers = [
        subprocess.Popen(
            [sys.executable, "-c", MOVER, url, version, f"mover {number}", str(MOVES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(MOVERS)
    ]
    try:
        for mover in movers:
            assert mover.stdin is not None
            mover.stdin.write("go\n")
            mover.stdin.flush()
        won = [int(mover.communicate(timeout=120)[0].split()[0]) for mover in movers]
    finally:
        for mover in movers:
            mover.kill()
            mover.wait()
    assert won == [MOVES] * MOVERS
    moves = store.moves(Channel.LATEST)
    assert [move.number for move in moves] == list(range(1, MOVERS * MOVES + 1))
    assert {name: sum(move.by == name for move in moves) for name in {move.by for move in moves}} == {
        f"mover {number}": MOVES for number in range(MOVERS)
    }
    assert now_at(moves) == version


@pytest.mark.parametrize(
    "url", ["ftp://host/place", "s3://", "s3://key:secret@bucket/path", "http://host/", "s3://key@bucket"]
)
def test_a_url_that_cannot_be_a_store_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(BadRequest) as caught:
        open_bundle_store(url)
    assert "secret" not in str(caught.value)
    assert "key" not in str(caught.value)
