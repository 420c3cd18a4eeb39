"""A market and a recipe so small that a table of many cells takes seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from contracts.progress import Silent
from model.build.build_bundle import BuildBundle
from model.build.recipe import (
    DecodingConfig,
    EvaluationConfig,
    NetworkConfig,
    PromptConfig,
    Recipe,
    SemanticIdConfig,
)
from model.build.source import Source
from model.data.data_set import DataSet
from model.data.synthetic import make_marketplace
from model.study.run import Measure, Study
from model.training.config import OptimiserConfig

NOW = datetime(2026, 1, 18, tzinfo=UTC)
RECIPE = Recipe(
    semantic_ids=SemanticIdConfig(sizes=(8, 8), feature_dims=8),
    network=NetworkConfig(hidden_size=16, layers=1, heads=1, kv_heads=1, intermediate_size=32, rank_dim=8, rank_mlp=8),
    prompt=PromptConfig(max_tokens=32),
    optimiser=OptimiserConfig(tokens=3_000, batch_tokens=512),
    decoding=DecodingConfig(beams=(6, 30), lambdas=(6, 6)),
    evaluation=EvaluationConfig(users=5, ks=(5,)),
)


def market() -> DataSet:
    """Forty users, forty items."""
    return make_marketplace(users=40, items=40, seed=3)


class Trainer:
    """Trains for real, and notes what it was asked for."""

    def __init__(self, data: DataSet, most: int = 100) -> None:
        self.data = data
        self.most = most
        self.trained: list[str] = []

    def __call__(self, recipe: Recipe, source: Source, out: Path, force: bool = False) -> None:
        """One training; after `most` of them the machine is switched off."""
        if len(self.trained) >= self.most:
            raise KeyboardInterrupt
        BuildBundle(recipe, source, Silent(), NOW)(self.data, out, replace=force)
        self.trained.append(out.name)


def study(data: DataSet, out: Path, trainer: Trainer, force: bool = False) -> Study:
    """A table with two K."""
    return Study(data, Measure(ks=(5, 10)), out, "1.2.3", trainer, Silent(), force)
