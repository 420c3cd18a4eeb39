"""The use case behind the system page's live part: every process asked how it is, and what it counts.

Called by `api` for each open view; several views share one look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.console.measures import Measures
from services.gateways.own_processes.port import Face, ProcessFaces
from services.runtime.clock import Clock

# Younger than this a look is shared.
FRESH_S = 1.0


@dataclass(frozen=True, slots=True)
class ProcessNow:
    """How one process is.  `why`: what stands in the way of its work; `no_metrics`: why its numbers are missing."""

    name: str
    url: str
    ready: bool
    why: str | None
    release: str | None
    bundle: dict[str, str]
    no_metrics: str | None


@dataclass(frozen=True, slots=True)
class LagNow:
    """How many messages of a topic somebody has not read yet."""

    topic: str
    reader: str
    messages: int


@dataclass(frozen=True, slots=True)
class SystemNow:
    """Counts are since each process's start; None: the process that counts them was not heard."""

    at_ms: int
    processes: tuple[ProcessNow, ...]
    lags: tuple[LagNow, ...]
    answers: dict[str, float] | None
    masking: dict[str, float] | None
    triggers: dict[str, float] | None
    engine: dict[str, float] | None


@dataclass(slots=True)
class LookAtSystem:
    """`urls` by process name; trigger, retrieval, precompute and engine are known by theirs."""

    urls: Mapping[str, str]
    faces: ProcessFaces
    clock: Clock
    _last: SystemNow | None = field(default=None, init=False)
    _last_s: float = field(default=0.0, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def __call__(self) -> SystemNow:
        """How everything is, at most a second ago."""
        async with self._lock:
            if self._last is None or self.clock.monotonic_s() - self._last_s >= FRESH_S:
                self._last = await self._look()
                self._last_s = self.clock.monotonic_s()
            return self._last

    async def _look(self) -> SystemNow:
        faces = dict(
            zip(self.urls, await asyncio.gather(*(self.faces.look(url) for url in self.urls.values())), strict=True)
        )
        measures = {name: _measured(face) for name, face in faces.items()}
        lags = [
            LagNow(topic, reader or name, round(messages))
            for name, measured in measures.items()
            if measured is not None
            for topic, reader, messages in measured.lags()
        ]
        retrieval, precompute, engine = (measures.get(name) for name in ("retrieval", "precompute", "engine"))
        return SystemNow(
            at_ms=self.clock.now_ms(),
            processes=tuple(_process(name, self.urls[name], face, measures[name]) for name, face in faces.items()),
            lags=tuple(lags),
            answers=_sums(retrieval, "rankgr_retrieval_answers_total", "outcome"),
            masking=_sums(retrieval, "rankgr_retrieval_masking_total", "result"),
            triggers=_sums(precompute, "rankgr_precompute_triggers_total", "outcome"),
            engine=None if engine is None else _engine(engine),
        )


def _measured(face: Face) -> Measures | None:
    try:
        return None if face.metrics is None else Measures.read(face.metrics)
    except ValueError:
        return None


def _sums(measured: Measures | None, name: str, label: str) -> dict[str, float] | None:
    return None if measured is None else measured.by(name, label)


def _process(name: str, url: str, face: Face, measured: Measures | None) -> ProcessNow:
    why_not = face.no_metrics or (None if measured is not None else "its metrics cannot be read")
    bundle = {} if measured is None else measured.bundle()
    return ProcessNow(name, url, face.ready, face.why, face.release, bundle, why_not)


def _engine(measured: Measures) -> dict[str, float]:
    names = {
        "waiting": "rankgr_engine_waiting",
        "inside": "rankgr_engine_inside",
        "seconds_per_prompt": "rankgr_engine_seconds_per_prompt",
    }
    found = {short: measured.one(name) for short, name in names.items()}
    tokens = measured.by("rankgr_engine_prompt_tokens_total", "kind")
    return {name: value for name, value in found.items() if value is not None} | {
        f"tokens_{kind}": value for kind, value in tokens.items()
    }
