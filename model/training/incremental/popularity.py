"""What is popular now: clicks of the stream, older ones counting less, over all and per scene.

The trainer makes a bundle's fallback lists of it.  Like all that is kept of the stream it follows from the samples and
their order alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec
import numpy as np

from contracts.behaviors import Level
from contracts.manifest import PopularList
from model.semantic_id.catalog import Catalog
from model.training.incremental.config import PopularConfig
from model.training.incremental.stream_sample import StreamSample

# Weights double with every half-life of event time; before they get so large that it matters, all are made smaller.
# A pause of more half-lives than float64 has doublings forgets as good as all.
MOST_DOUBLINGS, FLOAT_DOUBLINGS = 64.0, 1000.0
# Of a scene so many items are counted, and of so many users and items it is known when they were counted last.
MOST_ITEMS, MOST_KNOWN = 20_000, 200_000
_ALL = ""


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    since_ms: int | None
    counts: dict[str, dict[int, float]]
    known_keys: bytes
    known_ms: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Stored)


@dataclass(slots=True)
class Popularity:
    """Decayed counts of users who clicked an item or did more; one user counts once per item and half-life.

    So nobody makes an item popular alone, as in the lists that a build makes.  A bundle's list is taken in as if
    `prior` clicks had just been seen, shared out by rank (1, 1/2, 1/3, ...): few clicks change little of it, many
    replace it.  Scenes are those of the lists that were taken in.
    """

    config: PopularConfig
    _since_ms: int | None = None
    _counts: dict[str, dict[int, float]] = field(default_factory=dict)
    _known: dict[int, int] = field(default_factory=dict)
    _newest_ms: int = 0

    @property
    def empty(self) -> bool:
        """Whether no list was taken in yet."""
        return not self._counts

    def begin(self, lists: PopularList) -> None:
        """Take in a bundle's lists."""
        if not self.config.half_life_ms:
            return
        now = self._weight(self._newest_ms)
        for scene, items in ((_ALL, lists.default), *lists.scenes.items()):
            counts = self._counts.setdefault(scene, {})
            shares = 1.0 / np.arange(1, len(items) + 1)
            shares *= self.config.prior * now / max(float(shares.sum()), 1.0)
            for item, share in zip(items, shares.tolist(), strict=True):
                counts[item] = counts.get(item, 0.0) + share

    def take(self, sample: StreamSample) -> None:
        """One more sample, or another revision of one: what was counted already is not counted again."""
        if self.empty:
            return
        at_ms = sample.newest_event_at
        if self._since_ms is None:
            self._since_ms = at_ms
        self._newest_ms = max(self._newest_ms, at_ms)
        self._rebase()
        weight = self._weight(at_ms)
        scenes = [_ALL] if sample.scene is None else [_ALL, sample.scene]
        for item in sample.items_K[sample.levels_K >= Level.CLICK].tolist():
            if not self._is_new(sample.user, item, at_ms):
                continue
            for counts in [self._counts[scene] for scene in scenes if scene in self._counts]:
                counts[item] = counts.get(item, 0.0) + weight
                if len(counts) > 2 * MOST_ITEMS:
                    _prune(counts)

    def lists(self, catalog: Catalog, like: PopularList) -> PopularList:
        """Lists as long as these, of items of the catalogue; where too few were counted, theirs follow."""
        return PopularList(
            default=self._ranked(_ALL, catalog, like.default),
            scenes={scene: self._ranked(scene, catalog, items) for scene, items in like.scenes.items()},
        )

    def write(self) -> bytes:
        """All of it."""
        return _encoder.encode(
            _Stored(
                since_ms=self._since_ms,
                counts=self._counts,
                known_keys=np.fromiter(self._known.keys(), "<u8", len(self._known)).tobytes(),
                known_ms=np.fromiter(self._known.values(), "<i8", len(self._known)).tobytes(),
            )
        )

    @classmethod
    def read(cls, written: bytes, config: PopularConfig, newest_ms: int) -> Popularity:
        """As `write` wrote it; nothing for nothing.  newest_ms: event time.  Raises msgspec.DecodeError, ValueError."""
        if not written or not config.half_life_ms:
            return cls(config)
        stored = _decoder.decode(written)
        keys = np.frombuffer(stored.known_keys, "<u8").tolist()
        known = dict(zip(keys, np.frombuffer(stored.known_ms, "<i8").tolist(), strict=True))
        return cls(config, stored.since_ms, stored.counts, known, newest_ms)

    def _ranked(self, scene: str, catalog: Catalog, before: tuple[int, ...]) -> tuple[int, ...]:
        counts = self._counts.get(scene, {})
        item_K = np.fromiter(counts, np.int64, len(counts))
        count_K = np.fromiter(counts.values(), np.float64, len(counts))
        order_K = np.lexsort((item_K, -count_K))
        asked = np.concatenate([item_K[order_K], np.asarray(before, np.int64)])
        known = asked[catalog.rows_of(asked) >= 0].tolist()
        return tuple(dict.fromkeys(known))[: len(before)]

    def _is_new(self, user: str, item: int, at_ms: int) -> bool:
        digest = blake2b(f"{item} {user}".encode(errors="surrogatepass"), digest_size=8).digest()
        key = int.from_bytes(digest, "little")
        before = self._known.get(key)
        if before is not None and at_ms - before < self.config.half_life_ms:
            return False
        self._known.pop(key, None)
        self._known[key] = at_ms
        while len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return True

    def _weight(self, at_ms: int) -> float:
        if self._since_ms is None:
            return 1.0
        doublings = (at_ms - self._since_ms) / self.config.half_life_ms
        return float(2.0 ** min(max(doublings, -FLOAT_DOUBLINGS), FLOAT_DOUBLINGS))

    def _rebase(self) -> None:
        if self._since_ms is None or self._newest_ms - self._since_ms < MOST_DOUBLINGS * self.config.half_life_ms:
            return
        smaller = 1.0 / self._weight(self._newest_ms)
        for counts in self._counts.values():
            for item in counts:
                counts[item] *= smaller
        self._since_ms = self._newest_ms


def _prune(counts: dict[int, float]) -> None:
    """Keep those that count most."""
    for item in sorted(counts, key=lambda item: (counts[item], -item))[: len(counts) - MOST_ITEMS]:
        del counts[item]
