"""The use case behind the page's bundles: what the store holds, which of it is served, and how it came to that.

Called by `api` in a thread: the store blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.gateways.bundle_store.port import BundleStore, Channel, before, now_at

MOVES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class BundleRow:
    """One version.  `names`: latest, previous, canary, as far as they mean it."""

    version: str
    model_version: str
    catalog_version: str
    created_at: str
    nbytes: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MoveRow:
    """One move of a channel; `at_ms` Unix ms."""

    channel: str
    kind: str
    version: str | None
    by: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class BundlesNow:
    """Newest first, all of them.  `refused`: reasons, newest first."""

    bundles: tuple[BundleRow, ...]
    moves: tuple[MoveRow, ...]
    refused: tuple[str, ...]
    previous: str | None


def bundles_now(store: BundleStore) -> BundlesNow:
    """Raises BundleStoreDown."""
    moves = {channel: store.moves(channel) for channel in Channel}
    latest = moves[Channel.LATEST]
    previous = before(latest)
    meant = (("latest", now_at(latest)), ("previous", previous), ("canary", now_at(moves[Channel.CANARY])))
    rows = [
        BundleRow(
            one.version,
            one.manifest.model_version,
            one.manifest.catalog_version,
            one.manifest.created_at,
            one.nbytes,
            tuple(name for name, version in meant if version == one.version),
        )
        for one in store.bundles()
    ]
    told = [
        MoveRow(channel.value, move.kind, move.version, move.by, move.at_ms)
        for channel, those in moves.items()
        for move in those
    ]
    told.sort(key=lambda one: -one.at_ms)
    refused = tuple(one.reason for one in reversed(store.refusals()))
    return BundlesNow(tuple(reversed(rows)), tuple(told[:MOVES_SHOWN]), refused[:MOVES_SHOWN], previous)
