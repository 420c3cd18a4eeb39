"""The bundle store for one-off commands: `rankgr bundles` uses it."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from contracts.errors import BadRequest, NoSuchBundle
from contracts.manifest import MANIFEST_FILE
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import BundleStore, Channel, before, now_at

NAMES = ("latest", "previous", "canary")


def open_store(url: str) -> BundleStore:
    """The store at a URL.  Raises BadRequest."""
    return open_bundle_store(url)


def who() -> str:
    """Whoever moves a channel, as the store remembers it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def version_named(store: BundleStore, name: str) -> str:
    """The version that `latest`, `previous`, `canary`, a model version or the beginning of a version means.

    Raises NoSuchBundle where nothing is called so, BadRequest where several are.
    """
    if name in NAMES:
        moves = store.moves(Channel.CANARY if name == "canary" else Channel.LATEST)
        version = before(moves) if name == "previous" else now_at(moves)
        if version is None:
            raise NoSuchBundle(f"the bundle store has no {name}")
        return version
    known = store.bundles()
    for fits in (
        [one for one in known if one.version == name],
        [one for one in known if one.manifest.model_version == name],
        [one for one in known if one.version.startswith(name)] if len(name) >= 4 else [],
    ):
        if len(fits) == 1:
            return fits[0].version
        if fits:
            raise BadRequest(f"{name} may mean {', '.join(one.version for one in fits)}")
    raise NoSuchBundle(f"the bundle store has no version {name}")


@contextmanager
def opened(store: BundleStore, name: str) -> Iterator[Path]:
    """A bundle's directory: the one of this name, or a version of the store, fetched."""
    if (Path(name) / MANIFEST_FILE).exists():
        yield Path(name)
        return
    version = version_named(store, name)
    with TemporaryDirectory(prefix="rankgr-bundle-") as place:
        store.fetch(version, Path(place))
        yield Path(place)
