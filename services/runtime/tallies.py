"""Counters and histograms for hot paths: plain numbers, turned into Prometheus families when somebody scrapes.

The client library takes a lock for each bucket and label; at ten thousand requests a second that is a tenth of a core.
These belong to one thread: the event loop's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from services.runtime.telemetry import LATENCY_BUCKETS_S, checked_name

VERSIONS_KEPT = 4


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(float(bound))


class Count:
    """One number that grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1.0) -> None:
        """Make it larger."""
        self.value += amount


class Spread:
    """How values are spread over buckets."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def note(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


Child = TypeVar("Child", Count, Spread)


class _Tally(Collector, Generic[Child]):
    """Children by the values of the labels."""

    kind = ""

    def __init__(self, registry: CollectorRegistry, name: str, says: str, labels: Sequence[str] = ()) -> None:
        self.name = checked_name(name)
        self.label_names = tuple(labels)
        self._says = says
        self._children: dict[tuple[str, ...], Child] = {}
        registry.register(self)

    def labels(self, *values: str) -> Child:
        """The child with these values, made when it is first asked for; keep it where every nanosecond counts."""
        child = self._children.get(values)
        if child is None:
            if len(values) != len(self.label_names):
                raise ValueError(f"{self.name} has the labels {self.label_names}, not {values}")
            child = self._children[values] = self._new()
        return child

    def _new(self) -> Child:
        raise NotImplementedError


class CountTally(_Tally[Count]):
    """A counter; its exposed name ends in `_total`."""

    kind = "counter"

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For the registry."""
        family = CounterMetricFamily(self.name, self._says, labels=self.label_names)
        for values, child in list(self._children.items()):
            family.add_metric(values, child.value)
        yield family

    def _new(self) -> Count:
        return Count()


class RecentCountTally(CountTally):
    """A counter whose first label is a version: only the versions that were counted first most recently are kept.

    Models come by the hour, and a label that is never forgotten would fill the memory of whoever scrapes.
    """

    def labels(self, *values: str) -> Count:
        """See `CountTally`; a new version makes the oldest one go."""
        if values not in self._children:
            versions = list(dict.fromkeys(first for first, *_others in self._children))
            if values[0] not in versions and len(versions) >= VERSIONS_KEPT:
                gone = versions[0]
                self._children = {key: child for key, child in self._children.items() if key[0] != gone}
        return super().labels(*values)


class SpreadTally(_Tally[Spread]):
    """A histogram."""

    kind = "histogram"

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        says: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = LATENCY_BUCKETS_S,
    ) -> None:
        self._bounds = tuple(buckets)
        super().__init__(registry, name, says, labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For the registry."""
        family = HistogramMetricFamily(self.name, self._says, labels=self.label_names)
        for values, child in list(self._children.items()):
            reached, buckets = 0, []
            for bound, count in zip((*self._bounds, float("inf")), child.counts, strict=True):
                reached += count
                buckets.append((_bound(bound), float(reached)))
            family.add_metric(values, buckets, child.total)
        yield family

    def _new(self) -> Spread:
        return Spread(self._bounds)
