"""Where published bundles are kept: immutable versions, and two names that move over them.

Whoever publishes and whoever serves meet here.  What makes a bundle good enough is not the store's to say.
Deliberately not in the contract: waiting for a move (readers look again), and locks held longer than a turn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from contracts.manifest import Manifest

VERSION_DIGITS = 12


class Channel(StrEnum):
    """A name that points to one version: `latest` for everybody, `canary` for those who go first."""

    LATEST = "latest"
    CANARY = "canary"


class Move(BaseModel):
    """One move of a channel.  `number` counts from 1; `version` None: the channel points nowhere.

    `at_ms` is Unix ms by the mover's clock; `by` says who moved it; `hold_s`: how long a canary is to be watched.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int = Field(ge=1)
    version: str | None
    at_ms: int
    kind: Literal["promote", "rollback", "withdraw"] = "promote"
    by: str = ""
    note: str = ""
    hold_s: float | None = None


class Refusal(BaseModel):
    """Why a bundle was not published.  `version` is None where its manifest could not be read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    reason: str
    at_ms: int
    version: str | None = None
    figures: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A version that is whole and visible; `nbytes` counts all its files."""

    version: str
    manifest: Manifest
    nbytes: int


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to swap now, until `until_ms` (Unix ms) or until it is given back."""

    number: int
    holder: str
    until_ms: int


class BundleStore(Protocol):
    """Blocks; callers in an event loop call it from a thread.  Every call may raise BundleStoreDown.

    A version is its files: equal files are one version, whoever publishes them and how often.
    """

    def publish(self, directory: Path, at_ms: int) -> StoredBundle:
        """Make a directory's bundle a version, visible once all of it has arrived and been read back.

        Whether it can be served is for the caller to check before.  Raises BadBundle where a listed file is not
        what the manifest says, here or after its way into the store.
        """
        ...

    def bundles(self) -> list[StoredBundle]:
        """Every visible version, by time of making, oldest first."""
        ...

    def bundle(self, version: str) -> StoredBundle:
        """One version.  Raises NoSuchBundle, BadBundle for a manifest that cannot be read."""
        ...

    def fetch(self, version: str, into: Path, names: Collection[str] | None = None) -> None:
        """Copy a version's manifest and files (of `names` alone, where given) into a directory, unchecked.

        Raises NoSuchBundle, and OSError where the directory's disk refuses.
        """
        ...

    def moves(self, channel: Channel) -> tuple[Move, ...]:
        """The channel's moves that are still kept, oldest first; the last one is where it points now."""
        ...

    def move(self, channel: Channel, move: Move) -> None:
        """Make this the channel's next move: of several with one number exactly one succeeds.

        Raises PointerMoved where the channel's newest move is not `number` - 1, NoSuchBundle for a version that is
        not visible.
        """
        ...

    def set_aside(self, directory: Path, refusal: Refusal) -> None:
        """Keep what was refused with the reason, out of everybody's way; the newest few are kept.

        Of the directory: the manifest and the files that it lists, as far as they are there.
        """
        ...

    def refusals(self) -> list[Refusal]:
        """What is kept aside, oldest first."""
        ...

    def retain(self, keep: int, now_ms: int) -> list[str]:
        """Delete all but the newest `keep` versions, and what uploads left behind long ago; the versions that are gone.

        Where a channel points, and where a rollback of `latest` would lead, is never deleted.
        """
        ...

    def take_turn(self, holder: str, until_ms: int, now_ms: int) -> Turn | None:
        """The turn to swap, or None while another one holds it.  A turn that ran out is anybody's."""
        ...

    def end_turn(self, turn: Turn) -> None:
        """Give it back; nothing happens where it has run out and been taken."""
        ...


def version_of(manifest: Manifest) -> str:
    """12 hex digits over the sums of a bundle's files."""
    listed = json.dumps(sorted(manifest.files.items())).encode()
    return hashlib.sha256(listed).hexdigest()[:VERSION_DIGITS]


def next_move(moves: Collection[Move]) -> int:
    """The number of the move that would follow."""
    return max((move.number for move in moves), default=0) + 1


def now_at(moves: tuple[Move, ...]) -> str | None:
    """Where a channel points."""
    return moves[-1].version if moves else None


def before(moves: tuple[Move, ...]) -> str | None:
    """The version that stood before the one that stands now: a rollback leads there, and a second one further.

    None where there was none, or its move is no longer kept.
    """
    stood: list[str] = []
    for move in moves:
        if move.version is None:
            continue
        if move.kind == "rollback" and move.version in stood:
            while stood[-1] != move.version:
                stood.pop()
        elif not stood or stood[-1] != move.version:
            stood.append(move.version)
    return stood[-2] if len(stood) > 1 else None
