"""What the system page shows of a process's /metrics; docs/metrics.md names what is read here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

_LAGS = ("rankgr_stream_lag", "rankgr_samples_lag", "rankgr_trainer_stream_lag")


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of an exposition."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Measures:
    """All lines of one process.  Raises ValueError for text that is no exposition."""

    samples: tuple[Sample, ...]

    @classmethod
    def read(cls, text: str) -> Measures:
        """Parse an exposition."""
        families = text_string_to_metric_families(text)
        lines = (Sample(one.name, dict(one.labels), float(one.value)) for family in families for one in family.samples)
        return cls(tuple(line for line in lines if line.name.startswith("rankgr_")))

    def all(self, name: str) -> Iterator[Sample]:
        """Every line of this name."""
        return (one for one in self.samples if one.name == name)

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums by one label."""
        found: dict[str, float] = {}
        for one in self.all(name):
            key = one.labels.get(label, "")
            found[key] = found.get(key, 0.0) + one.value
        return found

    def one(self, name: str) -> float | None:
        """The value of a metric without labels."""
        return next((one.value for one in self.all(name)), None)

    def bundle(self) -> dict[str, str]:
        """What is served: bundle, model_version, catalog_version; empty where the process serves none."""
        for name in ("rankgr_bundle_info", "rankgr_engine_model_info"):
            for one in self.all(name):
                if one.value == 1:
                    return one.labels
        return {}

    def lags(self) -> Iterator[tuple[str, str, float]]:
        """Topic, who reads it, and how much was not read yet."""
        for name in _LAGS:
            for one in self.all(name):
                yield one.labels.get("topic", "samples"), one.labels.get("group", ""), one.value
