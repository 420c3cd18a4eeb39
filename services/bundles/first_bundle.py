"""The bundle that a process begins with: where its channel points, else the best that can be had.

Mains call it once, before anything is served.  A process that starts while the store is down must not stay away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from contracts.errors import BadBundle, BundleStoreDown, NoSuchBundle, RankGRError
from services.bundles.canary import wanted
from services.bundles.staging import Staging
from services.gateways.bundle_store.port import BundleStore, Channel, before

log = logging.getLogger(__name__)

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True)
class FirstBundle(Generic[Loaded]):
    """`read` reads a directory, or raises what is wrong with it; `directory` is what to fall back on."""

    store: BundleStore
    channel: Channel
    staging: Staging
    read: Callable[[Path], Loaded]
    directory: Path | None

    def __call__(self) -> Loaded:
        """The first that can be read of: what the channel points to, what stood before, what is staged, `directory`.

        Raises what was wrong with the first one, or NoSuchBundle where there is none at all.
        """
        problems: list[RankGRError] = []
        for what, place in self._candidates(problems):
            try:
                return self.read(place())
            except (RankGRError, OSError) as error:
                problem = error if isinstance(error, RankGRError) else BundleStoreDown(str(error))
                log.error("%s cannot be served: %s", what, problem)
                if isinstance(error, BadBundle):
                    self.staging.discard(what)
                problems.append(problem)
        raise problems[0] if problems else NoSuchBundle("the bundle store has no latest: promote a bundle first")

    def _candidates(self, problems: list[RankGRError]) -> Iterator[tuple[str, Callable[[], Path]]]:
        staged = list(reversed(self.staging.known()))
        for version in self._in_store(problems):
            yield version, partial(self.staging.fetched, self.store, version)
        for version in staged:
            yield version, partial(self.staging.place.joinpath, version)
        if self.directory is not None:
            given = self.directory
            yield str(given), lambda: given

    def _in_store(self, problems: list[RankGRError]) -> list[str]:
        try:
            latest = self.store.moves(Channel.LATEST)
            canary = self.store.moves(Channel.CANARY) if self.channel is Channel.CANARY else ()
        except BundleStoreDown as error:
            log.warning("starting without the bundle store: %s", error)
            problems.append(error)
            return []
        move = wanted(self.channel, latest, canary)
        found = [move.version] if move is not None and move.version is not None else []
        # A canary that cannot be read falls back on what everybody else serves.
        found += [version for version in (latest[-1].version if latest else None, before(latest)) if version]
        return list(dict.fromkeys(found))
