"""Which adapter a store's URL asks for; mains call it, and nobody else builds a store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from contracts.errors import BadRequest
from services.gateways.bundle_store.blobs import Blobs
from services.gateways.bundle_store.in_objects import ObjectBlobs
from services.gateways.bundle_store.on_disk import DiskBlobs
from services.gateways.bundle_store.port import BundleStore
from services.gateways.bundle_store.versions import VersionedBundleStore

# Those of fsspec's file systems that write an object only where there is none yet, in one step.
OBJECT_STORES = ("memory", "s3", "gs")

# What the libraries wait for by default is minutes; whoever follows a store asks again soon.
PATIENCE: Mapping[str, Mapping[str, object]] = {
    "s3": {
        "config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"mode": "standard", "max_attempts": 2}}
    }
}


def open_bundle_store(url: str) -> BundleStore:
    """The store at a directory, `file://`, `s3://BUCKET/PATH`, `gs://BUCKET/PATH` or `memory://NAME`.

    Nothing is asked of it yet.  Raises BadRequest for a URL that is none of these, or whose library is not installed.
    """
    return VersionedBundleStore(_blobs(url))


def check_store_url(url: str) -> str:
    """The URL, if it is one that `open_bundle_store` takes; else ValueError, without a word of the URL."""
    scheme, path = _parts(url)
    if scheme not in ("file", *OBJECT_STORES):
        raise ValueError(f"must be a directory, or a URL that begins with file, {', '.join(OBJECT_STORES)} and ://")
    if "@" in path.split("/", 1)[0] and scheme != "file":
        raise ValueError("must hold no user name: credentials are read where the store's library looks for them")
    if not path.strip("/") and scheme != "file":
        raise ValueError("must name a bucket, and better a folder in it")
    return url


def _parts(url: str) -> tuple[str, str]:
    scheme, separator, path = url.partition("://")
    return (scheme.lower(), path) if separator else ("file", url)


def _blobs(url: str) -> Blobs:
    try:
        check_store_url(url)
    except ValueError as error:
        raise BadRequest(f"bundle store: {error}") from None
    scheme, path = _parts(url)
    if scheme == "file":
        return DiskBlobs(Path(unquote(path) if "://" in url else path).absolute())
    # Imported here: a directory needs none of it.
    import fsspec

    try:
        # A listing of a moment ago would hide what was published since.
        files = fsspec.filesystem(scheme, use_listings_cache=False, **PATIENCE.get(scheme, {}))
    except (ImportError, ValueError) as error:
        raise BadRequest(f"bundle store: {scheme}:// needs a library: {error}") from error
    root = str(files._strip_protocol(f"{scheme}://{path}")).rstrip("/")
    return ObjectBlobs(files, root, f"{scheme}://{path.rstrip('/')}")
