"""A marketplace and a recipe so small that a build takes a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from contracts.progress import Progress, Silent
from model.build.build_bundle import BuildBundle
from model.build.recipe import DecodingConfig, EvaluationConfig, NetworkConfig, Recipe, SemanticIdConfig
from model.build.source import Source
from model.data.assemble_log import Named, RawEvents, assemble_log, nobody_knows
from model.data.data_set import DataSet
from model.data.items import ItemTable
from model.data.log import Split
from model.training.config import OptimiserConfig

NOW = datetime(2026, 1, 18, 9, 30, tzinfo=UTC)
Event = tuple[str, int, str, str]
"""User, item, behaviour, scene; one request each."""


def small_recipe(**changes: object) -> Recipe:
    """The defaults, shrunk, with a training that only starts; `changes` replaces whole sections."""
    shrunk = Recipe(
        semantic_ids=SemanticIdConfig(feature_dims=16),
        network=NetworkConfig(hidden_size=16, layers=1, intermediate_size=32, rank_dim=8, rank_mlp=8),
        optimiser=OptimiserConfig(tokens=4_000),
        decoding=DecodingConfig(beams=(8, 40), lambdas=(8, 16)),
        evaluation=EvaluationConfig(users=20, ks=(5, 20), popular_items=30),
    )
    return dataclasses.replace(shrunk, **changes)  # type: ignore[arg-type]


def build_of(data: DataSet, recipe: Recipe, seed: int = 0, progress: Progress | None = None) -> BuildBundle:
    """A build of `data`, ready to be called with it."""
    source = Source.of(data, preset="tiny", recipe=recipe, seed=seed, release="1.2.3")
    return BuildBundle(recipe, source, progress or Silent(), NOW)


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
