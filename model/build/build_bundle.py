"""Build a bundle: the use case behind `rankgr build`, `rankgr train` and `rankgr demo`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from contracts.errors import BadDataSet
from contracts.manifest import MANIFEST_FILE, Manifest
from contracts.progress import Progress
from model.build.beginning import Beginning, FromSeed
from model.build.catalogue import make_catalog
from model.build.held_out_sample import held_out_sample
from model.build.neighbours import made_neighbours, ordered_by, refuse_neighbours
from model.build.network import seed_code_embeddings
from model.build.popular import popular_lists
from model.build.recipe import Recipe
from model.build.source import Source
from model.bundle.new_items import feature_files
from model.bundle.semantic_ids import SemanticIds
from model.bundle.whole import check_target
from model.bundle.write import BundleContents, write_bundle
from model.data.data_set import DataSet
from model.data.log import InteractionLog, Split
from model.data.timelines import need_order
from model.data.user_shards import UserShards
from model.decoding.two_stage import TwoStageDecoder
from model.evaluation.evaluate import evaluate
from model.evaluation.recommender import Generative, Popularity
from model.network.config import NeighbourOrder
from model.network.network import RankGRNetwork
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.semantic_id.neighbours import Neighbours
from model.training.devices import is_main_process
from model.training.fit import Fit, FitReport
from model.training.log_blocks import LogBlocks, Logs
from model.training.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Built:
    """What a build gives: what the fit did, and the bundle's manifest in the process that wrote it."""

    fit: FitReport
    written: Manifest | None

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest.  Asked in a process that wrote none, a RuntimeError."""
        if self.written is None:
            raise RuntimeError("another process of this training wrote the bundle")
        return self.written


@dataclass(frozen=True, slots=True)
class BuildBundle:
    """Turn a log into a bundle; equal data, recipe, beginning and seed give equal versions.

    run: where checkpoints go.  Of several processes (torchrun) the first writes the bundle.
    """

    recipe: Recipe
    source: Source
    progress: Progress
    now: datetime
    beginning: Beginning = field(default_factory=FromSeed)
    run: RunDirectory | None = None

    def __call__(self, data: DataSet, out: Path, *, replace: bool = False) -> Built:
        """Make semantic ids, train, evaluate, write.  Raises BadDataSet, BadBundle, BadConfig, OSError."""
        check_target(out, MANIFEST_FILE, replace=replace)
        need_order(data.log, data.name)
        self.progress.begin("semantic ids", 1)
        made = make_catalog(data, self.recipe, self.source.seed)
        self.progress.advance(1)
        return self.from_ids(made, (data.log,), out, replace=replace)

    def from_ids(self, ids: SemanticIds, logs: Logs, out: Path, *, replace: bool = False) -> Built:
        """The same with semantic ids that are there already; only one piece of the log is held at a time.

        Raises as a call does.
        """
        check_target(out, MANIFEST_FILE, replace=replace)
        catalog = ids.catalog
        fmt = self._format(catalog, logs)
        neighbours, order = self._neighbours(logs)
        network = self.beginning.network(self.recipe, fmt, self.source.seed)
        if self.recipe.network.seeded_codes:
            seed_code_embeddings(network, ids.quantiser.codebooks)
        fit = Fit(
            fmt,
            catalog,
            self.recipe.fit(self.source.seed),
            self.progress,
            self.run,
            self._look(fmt, catalog, logs),
        )
        report = fit(network, LogBlocks(logs, fmt, catalog, self.recipe.samples.last_sessions))
        if not is_main_process():
            return Built(report, None)
        network.to("cpu")
        network.config = ordered_by(network.config, order)
        contents = BundleContents(
            network=network,
            prompt_format=fmt,
            catalog=catalog,
            popular=popular_lists(_pieces(logs), catalog, self.recipe.evaluation.popular_items),
            quantiser=ids.quantiser.to_arrays(),
            features=feature_files(ids.features),
            data=self.source.as_json(),
            metrics=self._evaluate(network, fmt, catalog, logs, neighbours),
            created_at=self.now,
            tokenizer=self.beginning.tokenizer_files(fmt),
            training=self.recipe.taught().to_json(),
            neighbours=neighbours,
        )
        manifest = write_bundle(contents, out, replace=replace)
        if self.run is not None:
            self.run.done()
        return Built(report, manifest)

    def _format(self, catalog: Catalog, logs: Logs) -> PromptFormat:
        prompt = self.recipe.prompt
        scenes = sorted({scene for log in _pieces(logs) for scene in log.scenes}) if "scene" in prompt.context else []
        fmt = PromptFormat.create(
            catalog.level_sizes,
            scenes,
            layout=prompt.layout,
            max_tokens=prompt.max_tokens,
            history_level=prompt.history_level,
        )
        return self.beginning.prompt_format(dataclasses.replace(fmt, context=prompt.context), prompt.instruction)

    def _look(self, fmt: PromptFormat, catalog: Catalog, logs: Logs) -> Callable[[RankGRNetwork], float] | None:
        """The validation metric of a network, where the recipe asks for one.  Raises BadDataSet without such users."""
        validation = self.recipe.validation
        if not validation.every_tokens:
            return None
        users = held_out_sample(_pieces(logs), Split.VALID, fmt.history_level, validation.users, self.source.seed)
        known = {truth for user in users for truth in user.truth}
        truth = validation.truth or ("click" if "click" in known else "purchase")
        if truth not in known:
            raise BadDataSet(f"{self.source.name}: no user has a {truth} in the validation split; set validation off")

        def look(network: RankGRNetwork) -> float:
            found = evaluate(Generative(TwoStageDecoder(network, catalog), fmt, catalog), users, (validation.k,))
            return found[truth][f"{validation.metric}@{validation.k}"]

        return look

    def _neighbours(self, logs: Logs) -> tuple[Neighbours | None, NeighbourOrder | None]:
        """Both, or neither where the recipe asks for none.  Raises BadConfig for a log in pieces, BadDataSet."""
        if isinstance(logs, UserShards) or len(logs) != 1:
            refuse_neighbours(self.recipe)
            return None, None
        return made_neighbours(logs[0], self.source.name, self.recipe) or (None, None)

    def _evaluate(
        self, network: RankGRNetwork, fmt: PromptFormat, catalog: Catalog, logs: Logs, neighbours: Neighbours | None
    ) -> dict[str, float]:
        """Metrics on a sample of the test users, drawn with the build's seed."""
        evaluation = self.recipe.evaluation
        users = held_out_sample(_pieces(logs), Split.TEST, fmt.history_level, evaluation.users, self.source.seed)
        self.progress.begin("evaluating", len(users))
        method = Generative(TwoStageDecoder(network, catalog, neighbours=neighbours), fmt, catalog)
        ours = evaluate(method, users, evaluation.ks, advance=self.progress.advance)
        popularity = evaluate(Popularity(catalog), users, evaluation.ks)
        metrics: dict[str, float] = {"test_users": float(len(users))}
        for truth, values in ours.items():
            for name, value in values.items():
                metrics[f"{truth} {name}"] = value
                metrics[f"{truth} {name} popularity"] = popularity[truth][name]
        return metrics


def _pieces(logs: Logs) -> Iterable[InteractionLog]:
    return logs.logs() if isinstance(logs, UserShards) else logs
