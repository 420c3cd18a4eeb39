"""Which sample is learnt from when: what is new, what is held out, what is replayed.  Knows no network.

All of it follows from the samples and their order alone: it does not matter when they came, or in which portions.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice

import msgspec
import numpy as np

from contracts.errors import BadConfig
from model.training.incremental.config import IncrementalConfig
from model.training.incremental.popularity import Popularity
from model.training.incremental.stream_sample import KEY_BITS, StreamSample

# Which draw of a step it is.
_REPLAY, _KEEP = 1, 2


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    newest_ms: int
    pending: list[StreamSample]
    held_out: list[StreamSample]
    reservoir: list[StreamSample]
    known_keys: bytes
    known_revisions: bytes
    counts: dict[str, int]
    learnt: int
    format: int = 1
    popular: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Stored)


@dataclass(slots=True)
class Intake:
    """`pending`: to be learnt from, oldest first.  `newest_ms`: event time, the newest interaction of any sample.

    A sample is known by its id.  A revision that is not higher than the one known is a repetition.  A higher one takes
    the other's place wherever that stands; where it was learnt from already, the higher one is learnt from as well,
    once: it carries a purchase that came late.
    """

    config: IncrementalConfig
    newest_ms: int = 0
    learnt: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    pending: dict[int, StreamSample] = field(default_factory=dict)
    held_out: dict[int, StreamSample] = field(default_factory=dict)
    reservoir: list[StreamSample] = field(default_factory=list)
    popular: Popularity = field(init=False)
    _places: dict[int, int] = field(default_factory=dict)
    _known: dict[int, int] = field(default_factory=dict)
    _leaving: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.popular = Popularity(self.config.popular)

    def take(self, sample: StreamSample) -> None:
        """One more sample."""
        key = sample.key
        known = self._known.pop(key, None)
        if known is not None and sample.revision <= known:
            self._known[key] = known
            self.counts["repeated"] += 1
            return
        self._remember(key, sample.revision)
        self.counts["taken"] += 1
        self.counts["corrected"] += known is not None
        self.newest_ms = max(self.newest_ms, sample.newest_event_at)
        self.popular.take(sample)
        if key in self._places:
            self.reservoir[self._places[key]] = sample
        if self._is_held_out(key, known):
            self.held_out[key] = sample
            heapq.heappush(self._leaving, (sample.newest_event_at, key))
        else:
            # In its older revision's place, where that still waits.
            self.pending[key] = sample
        self._let_go()

    @property
    def ready(self) -> bool:
        """Whether enough waits for a whole step."""
        return len(self.pending) >= self.config.new_samples

    def next_new(self) -> list[StreamSample]:
        """What a step learns from for the first time; the oldest that wait, as many as a step takes."""
        return list(islice(self.pending.values(), self.config.new_samples))

    def replayed(self, new: list[StreamSample], step: int) -> list[StreamSample]:
        """What joins them: drawn from the reservoir by seed and step, none that is among them."""
        share = self.config.replay.share
        count = min(round(len(new) * share / (1.0 - share)), len(self.reservoir))
        if not count:
            return []
        rng = np.random.default_rng((self.config.seed, step, _REPLAY))
        own = {sample.sample_id for sample in new}
        drawn = [self.reservoir[place] for place in rng.choice(len(self.reservoir), count, replace=False).tolist()]
        return [sample for sample in drawn if sample.sample_id not in own]

    def done(self, new: list[StreamSample], step: int, *, learnt: bool) -> None:
        """They wait no longer; `learnt` False: the step was skipped, and what it held is not learnt from again."""
        for sample in new:
            self.pending.pop(sample.key, None)
        if not learnt:
            return
        rng, replay = np.random.default_rng((self.config.seed, step, _KEEP)), self.config.replay
        for sample in new:
            self.learnt += 1
            key, place = sample.key, len(self.reservoir)
            if key in self._places:
                continue
            if place < replay.reservoir:
                self.reservoir.append(sample)
            else:
                place = int(rng.integers(max(min(self.learnt, replay.horizon), replay.reservoir)))
                if place >= replay.reservoir:
                    continue
                del self._places[self.reservoir[place].key]
                self.reservoir[place] = sample
            self._places[key] = place

    def write(self) -> bytes:
        """All of it."""
        return _encoder.encode(
            _Stored(
                newest_ms=self.newest_ms,
                pending=list(self.pending.values()),
                held_out=list(self.held_out.values()),
                reservoir=self.reservoir,
                known_keys=np.fromiter(self._known.keys(), "<u8", len(self._known)).tobytes(),
                known_revisions=np.fromiter(self._known.values(), "<i8", len(self._known)).tobytes(),
                counts=dict(self.counts),
                learnt=self.learnt,
                popular=self.popular.write(),
            )
        )

    @classmethod
    def read(cls, written: bytes, config: IncrementalConfig) -> Intake:
        """As `write` wrote it.  Raises BadConfig for anything else."""
        try:
            stored = _decoder.decode(written)
            keys = np.frombuffer(stored.known_keys, "<u8").tolist()
            revisions = np.frombuffer(stored.known_revisions, "<i8").tolist()
            known = dict(zip(keys, revisions, strict=True))
            popular = Popularity.read(stored.popular, config.popular, stored.newest_ms)
        except (msgspec.DecodeError, ValueError) as error:
            raise BadConfig(f"a damaged checkpoint: {error}") from error
        made = cls(
            config,
            newest_ms=stored.newest_ms,
            learnt=stored.learnt,
            counts=Counter(stored.counts),
            pending={sample.key: sample for sample in stored.pending},
            held_out={sample.key: sample for sample in stored.held_out},
            reservoir=stored.reservoir[: config.replay.reservoir],
            _known=known,
        )
        made.popular = popular
        made._places = {sample.key: place for place, sample in enumerate(made.reservoir)}
        made._leaving = [(sample.newest_event_at, key) for key, sample in made.held_out.items()]
        heapq.heapify(made._leaving)
        return made

    def _remember(self, key: int, revision: int) -> None:
        self._known[key] = revision
        while len(self._known) > self.config.remembered:
            del self._known[next(iter(self._known))]

    def _is_held_out(self, key: int, known: int | None) -> bool:
        """Of what was learnt from already, no revision can be held out."""
        held_out = self.config.held_out
        chosen = key < held_out.share * 2.0**KEY_BITS
        return chosen and (known is None or key in self.held_out)

    def _let_go(self) -> None:
        """What was held out long enough is learnt from, oldest first."""
        rules, limit = self.config.held_out, self.newest_ms - self.config.held_out.hold_ms
        while self._leaving and (self._leaving[0][0] <= limit or len(self.held_out) > rules.most):
            newest, key = heapq.heappop(self._leaving)
            sample = self.held_out.get(key)
            # An entry of an older revision lets nobody go.
            if sample is not None and sample.newest_event_at == newest:
                self.pending[key] = self.held_out.pop(key)
