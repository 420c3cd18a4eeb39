"""What a process serves: one bundle for good, or whatever a store's channel points to.  Mains build it from settings.

Both look alike to them: the first bundle, and a following that does nothing where there is no store.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from contracts.errors import BadBundle
from contracts.manifest import Manifest
from services.bundles.first_bundle import FirstBundle
from services.bundles.follow import FollowBundles, Swap, Turns
from services.bundles.follow_metrics import FollowMetrics
from services.bundles.staging import Staging
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import BundleStore, Channel, version_of
from services.runtime.clock import SystemClock
from services.runtime.settings import BundleSettings

Loaded = TypeVar("Loaded")


class Standing:
    """Follows nothing: the bundle of `RANKGR_BUNDLE` is served for good."""

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Just the block."""
        yield


@dataclass(frozen=True, slots=True)
class OpenedBundles:
    """`store` None: there is only `directory`.  `temporary`: the staging ends with the process."""

    store: BundleStore | None
    channel: Channel
    staging: Staging
    temporary: bool
    directory: Path | None
    poll_s: float

    def first(self, read: Callable[[Path], Loaded]) -> Loaded:
        """The bundle to begin with.  Raises BadBundle, NoSuchBundle, BundleStoreDown."""
        if self.store is not None:
            return FirstBundle(self.store, self.channel, self.staging, read, self.directory)()
        if self.directory is None:
            raise BadBundle("RANKGR_BUNDLE: must be set, or RANKGR_BUNDLE_STORE")
        return read(self.directory)

    def following(
        self, swap: Swap, served: Manifest, metrics: FollowMetrics | None, turns: Turns | None = None
    ) -> FollowBundles | Standing:
        """Beside the app: `swap` gets every new bundle's directory."""
        if self.store is None:
            return Standing()
        # What other starts of this process staged.
        self.staging.serves(version_of(served))
        return FollowBundles(
            store=self.store,
            channel=self.channel,
            staging=self.staging,
            swap=swap,
            clock=SystemClock(),
            poll_s=self.poll_s,
            served=version_of(served),
            metrics=metrics,
            turns=turns,
        )

    def close(self) -> None:
        """Remove what was staged for this process alone."""
        if self.temporary:
            shutil.rmtree(self.staging.place, ignore_errors=True)


def open_bundles(
    settings: BundleSettings, name: str, channel: Channel, names: Collection[str] | None = None
) -> OpenedBundles:
    """As settings say; `name` is the process's, for its own place in `RANKGR_BUNDLE_STAGING`.

    `names`: files of a bundle that are needed; None: all.  Raises BadRequest for a store's URL that is none.
    """
    store = open_bundle_store(settings.bundle_store) if settings.bundle_store else None
    temporary = settings.bundle_staging is None
    if settings.bundle_staging is not None:
        place = settings.bundle_staging / name
    else:
        place = Path(tempfile.mkdtemp(prefix=f"rankgr-{name}-")) if store is not None else Path()
    staging = Staging(place, names)
    return OpenedBundles(
        store, channel, staging, temporary and store is not None, settings.bundle, settings.bundle_poll_s
    )
