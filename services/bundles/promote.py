"""The use case behind every publication: a bundle is read whole, judged, stored, and then a channel moves to it.

The command line calls it, and a trainer after each of its rounds.  Whatever goes wrong, the channel stays where it was.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import BadBundle, BundleRefused, BundleStoreDown, NoSuchBundle, PointerMoved, RankGRError
from contracts.manifest import MANIFEST_FILE
from model.bundle.read import Bundle, read_bundle
from services.bundles.publication import Publication
from services.gateways.bundle_store.port import (
    BundleStore,
    Channel,
    Move,
    Refusal,
    StoredBundle,
    next_move,
    now_at,
    version_of,
)
from services.runtime.clock import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate found.  `reason` None: the bundle is good; `figures` are what it measured."""

    reason: str | None
    figures: dict[str, float] = field(default_factory=dict)


Judge = Callable[[Bundle, Bundle | None], Verdict]
"""Candidate and what is served now, None where nothing is."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """The channel points to `bundle` now; `moved` is False where it did already.  `removed`: by retention."""

    bundle: StoredBundle
    channel: Channel
    moved: bool
    figures: dict[str, float]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromoteBundle:
    """Raises BadBundle, BundleRefused, NoSuchBundle, PointerMoved, BundleStoreDown; OSError of the local disk.

    `judge` None: whatever can be read whole is good enough.  `keep`: versions that retention leaves.
    """

    store: BundleStore
    clock: Clock
    by: str
    keep: int
    judge: Judge | None = None
    note: Callable[[Publication], None] = lambda _outcome: None

    def __call__(
        self,
        directory: Path,
        channel: Channel = Channel.LATEST,
        *,
        hold_s: float | None = None,
        seen: tuple[Move, ...] | None = None,
    ) -> Promoted:
        """Publish a directory and move the channel to it.  `hold_s`: how long a canary is to be watched.

        `seen`: the channel's moves when the directory was made, where it was made from what the channel pointed to.
        """
        try:
            # Seen before it is judged: a channel that moves meanwhile was judged against something else.
            moves = self.store.moves(channel) if seen is None else seen
            figures = self._judged(directory)
            bundle = self.store.publish(directory, self.clock.now_ms())
            promoted = self._moved(bundle, channel, moves, figures, hold_s)
        except RankGRError as error:
            self.note(_outcome_of(error))
            raise
        self.note(Publication.PROMOTED)
        return promoted

    def stored(self, version: str, channel: Channel = Channel.LATEST, *, hold_s: float | None = None) -> Promoted:
        """The same of a version that the store has; it is fetched and judged like any other."""
        try:
            moves = self.store.moves(channel)
            bundle = self.store.bundle(version)
            with self._fetched(version) as directory:
                figures = self._judged(directory)
            promoted = self._moved(bundle, channel, moves, figures, hold_s)
        except RankGRError as error:
            self.note(_outcome_of(error))
            raise
        self.note(Publication.PROMOTED)
        return promoted

    def _judged(self, directory: Path) -> dict[str, float]:
        try:
            candidate = read_bundle(directory)
        except BadBundle as error:
            self._set_aside(directory, None, Verdict(str(error)))
            raise
        if self.judge is None:
            return {}
        with self._serving() as serving:
            verdict = self.judge(candidate, serving)
        if verdict.reason is not None:
            self._set_aside(directory, candidate, verdict)
            raise BundleRefused(f"model {candidate.manifest.model_version} is refused: {verdict.reason}")
        return verdict.figures

    @contextmanager
    def _serving(self) -> Iterator[Bundle | None]:
        version = now_at(self.store.moves(Channel.LATEST))
        if version is None:
            yield None
            return
        with self._fetched(version) as directory:
            yield read_bundle(directory)

    @contextmanager
    def _fetched(self, version: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="rankgr-judged-") as place:
            self.store.fetch(version, Path(place))
            yield Path(place)

    def _moved(
        self,
        bundle: StoredBundle,
        channel: Channel,
        moves: tuple[Move, ...],
        figures: dict[str, float],
        hold_s: float | None,
    ) -> Promoted:
        if now_at(moves) == bundle.version:
            return Promoted(bundle, channel, False, figures, ())
        now_ms = self.clock.now_ms()
        move = Move(number=next_move(moves), version=bundle.version, at_ms=now_ms, by=self.by, hold_s=hold_s)
        self.store.move(channel, move)
        log.info(
            "bundle promoted",
            extra={"bundle": bundle.version, "model_version": bundle.manifest.model_version, "channel": channel.value},
        )
        try:
            removed = tuple(self.store.retain(self.keep, now_ms))
        except BundleStoreDown as error:
            # The promotion stands; the next one cleans up.
            log.warning("old versions were not removed: %s", error)
            removed = ()
        return Promoted(bundle, channel, True, figures, removed)

    def _set_aside(self, directory: Path, candidate: Bundle | None, verdict: Verdict) -> None:
        at_ms, reason = self.clock.now_ms(), verdict.reason or ""
        version = None if candidate is None else version_of(candidate.manifest)
        log.error("bundle refused: %s", reason, extra={"bundle": version, "figures": verdict.figures})
        if not (directory / MANIFEST_FILE).is_file():
            # No bundle at all, and nothing to keep.
            return
        refusal = Refusal(
            name=f"{at_ms}-{version or 'unreadable'}",
            reason=reason,
            at_ms=at_ms,
            version=version,
            figures=verdict.figures,
        )
        try:
            self.store.set_aside(directory, refusal)
        except BundleStoreDown as error:
            log.warning("the refused bundle was not kept: %s", error)


def _outcome_of(error: RankGRError) -> Publication:
    match error:
        case BundleRefused():
            return Publication.REFUSED
        case BadBundle() | NoSuchBundle():
            return Publication.DAMAGED
        case PointerMoved():
            return Publication.OVERTAKEN
        case _:
            return Publication.FAILED
