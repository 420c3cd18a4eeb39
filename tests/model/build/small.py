"""A marketplace and a preset so small that a build takes a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from contracts.progress import Progress, Silent
from model.build.build_bundle import BuildBundle
from model.build.presets import PRESETS, Preset
from model.build.source import Source
from model.data.assemble_log import Named, RawEvents, assemble_log, nobody_knows
from model.data.data_set import DataSet
from model.data.items import ItemTable
from model.data.log import Split

NOW = datetime(2026, 1, 18, 9, 30, tzinfo=UTC)
Event = tuple[str, int, str, str]
"""User, item, behaviour, scene; one request each."""


def small_preset(**changes: object) -> Preset:
    """Tiny, with a training that only starts."""
    base = PRESETS["tiny"]
    shrunk = dataclasses.replace(
        base,
        hidden_size=16,
        layers=1,
        intermediate_size=32,
        feature_dims=16,
        rank_dim=8,
        rank_mlp=8,
        beams=(8, 40),
        lambdas=(8, 16),
        popular_items=30,
        evaluated_users=20,
        ks=(5, 20),
        fit=dataclasses.replace(base.fit, tokens=4_000),
    )
    return dataclasses.replace(shrunk, **changes)  # type: ignore[arg-type]


def build_of(data: DataSet, preset: Preset, seed: int = 0, progress: Progress | None = None) -> BuildBundle:
    """A build of `data`, ready to be called with it."""
    source = Source.of(data, preset="tiny", seed=seed, release="1.2.3")
    return BuildBundle(preset, source, progress or Silent(), NOW)


def data_of(events: Sequence[Event], catalogue: Sequence[int] = (), test: Sequence[Event] = ()) -> DataSet:
    """A log of these events in order, `test` after them and in the test split; `catalogue` adds items."""
    everything = [*events, *test]
    count = len(everything)
    log = assemble_log(
        RawEvents(
            user=_column([user for user, _, _, _ in everything]),
            item=np.array([item for _, item, _, _ in everything]),
            behavior=_column([behavior for _, _, behavior, _ in everything]),
            timestamp=1_700_000_000 + 60 * np.arange(count),
            request=np.arange(count),
            split=np.repeat([Split.TRAIN, Split.TEST], [len(events), len(test)]).astype(np.int8),
            scene=_column([scene for _, _, _, scene in everything]),
            device=nobody_knows(count),
        )
    )
    ids = np.unique(np.array([*catalogue, *(event[1] for event in everything)]))
    titles = tuple(f"Thing {item}" for item in ids)
    return DataSet("small", log, ItemTable(ids, titles, titles))


def _column(names: Sequence[str]) -> Named:
    known = tuple(dict.fromkeys(names))
    return Named(known, np.array([known.index(name) for name in names], np.int32))
