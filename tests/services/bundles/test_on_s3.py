"""The life of a bundle in a store that speaks S3's protocol over a real socket."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts.errors import BundleStoreDown
from services.bundles.follow import FollowBundles
from services.bundles.promote import PromoteBundle
from services.bundles.roll_back import RollBack
from services.bundles.staging import Staging
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import Channel, now_at
from services.runtime.clock import ManualClock
from tests.s3_server import S3Server

from ...model.bundle.growing import write_growing

WITHIN_S = 120.0
# Told to begin together, each publishes its own bundle over what it saw.
PUBLISHER = """
import sys
from pathlib import Path
from contracts.errors import PointerMoved
from services.bundles.promote import PromoteBundle
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import Channel
from services.runtime.clock import SystemClock
url, directory, name = sys.argv[1:]
store = open_bundle_store(url)
seen = store.moves(Channel.LATEST)
print("ready", flush=True)
sys.stdin.readline()
try:
    print("won", PromoteBundle(store, SystemClock(), name, 10)(Path(directory), seen=seen).bundle.version)
except PointerMoved as error:
    print("lost", error)
"""


def made(place: Path, seed: int) -> Path:
    return write_growing(place / f"bundle-{seed}", seed)


async def test_a_bundle_is_published_followed_and_rolled_back(s3_url: str, tmp_path: Path) -> None:
    store, clock, swapped = open_bundle_store(s3_url), ManualClock(), list[bytes]()

    async def swap(directory: Path) -> None:
        swapped.append((directory / "model.safetensors").read_bytes())

    follower = FollowBundles(store, Channel.LATEST, Staging(tmp_path / "staging"), swap, clock, 1.0, "")
    promote = PromoteBundle(store, clock, "a test", keep=2)
    bundles = [made(tmp_path, seed) for seed in (0, 1, 2)]
    for bundle in bundles:
        clock.advance(1)
        promote(bundle)
        await follower.look()
    weights = [(bundle / "model.safetensors").read_bytes() for bundle in bundles]
    assert swapped == weights
    back = RollBack(store, clock, "a test")()
    await follower.look()
    assert swapped == [*weights, weights[1]]
    assert back.to == now_at(store.moves(Channel.LATEST))
    assert {one.version for one in store.bundles()} >= {back.was, back.to}
    # The same bundle again is the same version: nothing is sent twice.
    assert promote(bundles[2]).bundle.version == back.was


def test_of_two_publishers_at_once_one_wins_and_the_other_is_told(s3_url: str, tmp_path: Path) -> None:
    store = open_bundle_store(s3_url)
    PromoteBundle(store, ManualClock(), "a test", keep=10)(made(tmp_path, 0))
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, s3_url, str(made(tmp_path, seed)), f"publisher {seed}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in (1, 2)
    ]
    try:
        for one in both:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for one in both:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        said = sorted(one.communicate(timeout=WITHIN_S)[0] for one in both)
    finally:
        for one in both:
            one.kill()
            one.wait()
    assert [line.split()[0] for line in said] == ["lost", "won"]
    assert "was moved by somebody else meanwhile" in said[0]
    moves = store.moves(Channel.LATEST)
    assert len(moves) == 2
    assert now_at(moves) == said[1].split()[1]
    # The loser's version is there, whole, and serves nobody.
    assert len(store.bundles()) == 3


def test_a_store_that_is_gone_is_one_line_and_soon(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    gone = S3Server.start()
    for name, value in gone.told().items():
        monkeypatch.setenv(name, value)
    # Its clients are kept per process, with the endpoint that they were made for.
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        store = open_bundle_store("s3://bundles/gone")
        assert store.bundles() == []
        gone.kill()
        for ask in (store.bundles, lambda: store.moves(Channel.LATEST), lambda: store.publish(made(tmp_path, 0), 0)):
            began_s = time.monotonic()
            with pytest.raises(BundleStoreDown, match="bundle store s3://bundles/gone") as caught:
                ask()
            assert "\n" not in str(caught.value)
            assert time.monotonic() - began_s < WITHIN_S
    finally:
        gone.kill()
        s3fs.S3FileSystem.clear_instance_cache()
    assert s3_server.process.poll() is None


def test_a_bucket_that_is_not_there_is_one_line(s3_url: str, tmp_path: Path) -> None:
    store = open_bundle_store(s3_url.replace("s3://bundles/", "s3://no-such-bucket/"))
    with pytest.raises(BundleStoreDown, match="no-such-bucket") as caught:
        store.publish(made(tmp_path, 0), 0)
    assert "\n" not in str(caught.value)
