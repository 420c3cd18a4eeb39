"""Build a bundle: the use case behind `rankgr build` and `rankgr demo`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from contracts.errors import BadDataSet
from contracts.manifest import MANIFEST_FILE, Manifest
from contracts.progress import Progress
from model.build.catalogue import make_catalog
from model.build.network import network_config, seed_code_embeddings
from model.build.popular import popular_lists
from model.build.recipe import Recipe
from model.build.source import Source
from model.bundle.new_items import feature_files
from model.bundle.whole import check_target
from model.bundle.write import BundleContents, write_bundle
from model.data.data_set import DataSet
from model.data.log import Split
from model.data.timelines import HeldOut, held_out, training_timelines
from model.decoding.two_stage import TwoStageDecoder
from model.evaluation.evaluate import evaluate
from model.evaluation.recommender import Generative, Popularity
from model.network.network import RankGRNetwork, network_from
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.training.fit import Fit
from model.training.in_memory import InMemory

# Positives among the rank head's candidates at the start of training: its last bias begins at this prior.
POSITIVE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class BuildBundle:
    """Turn a data set into a bundle; equal data, recipe and seed give equal versions."""

    recipe: Recipe
    source: Source
    progress: Progress
    now: datetime

    def __call__(self, data: DataSet, out: Path, *, replace: bool = False) -> Manifest:
        """Build and write.  Raises BadDataSet, BadBundle, or OSError when the disk refuses."""
        check_target(out, MANIFEST_FILE, replace=replace)
        timelines = list(training_timelines(data, self.recipe.prompt.history_level))
        if not timelines:
            raise BadDataSet(f"{data.name}: no user has a training request with a history before it")
        self.progress.begin("semantic ids", 1)
        made = make_catalog(data, self.recipe, self.source.seed)
        self.progress.advance(1)
        fmt = PromptFormat.create(
            made.catalog.level_sizes,
            data.log.scenes,
            layout=self.recipe.prompt.layout,
            max_tokens=self.recipe.prompt.max_tokens,
            history_level=self.recipe.prompt.history_level,
        )
        network = network_from(network_config(self.recipe, fmt), self.source.seed)
        network.initialise(self.source.seed, POSITIVE_SHARE)
        if self.recipe.network.seeded_codes:
            seed_code_embeddings(network, made.quantiser.codebooks)
        blocks = InMemory.of(timelines, fmt, made.catalog, self.recipe.samples.last_sessions)
        Fit(fmt, made.catalog, self.recipe.fit(self.source.seed), self.progress)(network, blocks)
        metrics = self._evaluate(network, fmt, made.catalog, data)
        contents = BundleContents(
            network=network,
            prompt_format=fmt,
            catalog=made.catalog,
            popular=popular_lists(data, made.catalog, self.recipe.evaluation.popular_items),
            quantiser=made.quantiser.to_arrays(),
            features=feature_files(made.features),
            data=self.source.as_json(),
            metrics=metrics,
            created_at=self.now,
        )
        return write_bundle(contents, out, replace=replace)

    def _evaluate(self, network: RankGRNetwork, fmt: PromptFormat, catalog: Catalog, data: DataSet) -> dict[str, float]:
        """Metrics on a sample of the test users, drawn with the build's seed."""
        users = _some(
            list(held_out(data, Split.TEST, fmt.history_level)), self.recipe.evaluation.users, self.source.seed
        )
        self.progress.begin("evaluating", len(users))
        method = Generative(TwoStageDecoder(network, catalog), fmt, catalog)
        ours = evaluate(method, users, self.recipe.evaluation.ks, advance=self.progress.advance)
        popularity = evaluate(Popularity(catalog), users, self.recipe.evaluation.ks)
        metrics: dict[str, float] = {"test_users": float(len(users))}
        for truth, values in ours.items():
            for name, value in values.items():
                metrics[f"{truth} {name}"] = value
                metrics[f"{truth} {name} popularity"] = popularity[truth][name]
        return metrics


def _some(users: Sequence[HeldOut], most: int, seed: int) -> list[HeldOut]:
    if len(users) <= most:
        return list(users)
    chosen = np.random.default_rng(seed).choice(len(users), most, replace=False)
    return [users[place] for place in np.sort(chosen)]
