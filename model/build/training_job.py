"""One run of `rankgr train`: what it reads, where it keeps its checkpoints, and the bundle it leaves."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contracts.errors import BadConfig, RankGRError
from contracts.manifest import MANIFEST_FILE
from contracts.progress import Progress
from model.build.beginning import Beginning, FromSeed
from model.build.build_bundle import BuildBundle, Built
from model.build.from_hugging_face import FromHuggingFace
from model.build.recipe import Recipe
from model.build.source import Source, file_fingerprint
from model.build.train_prices import with_train_prices
from model.bundle.semantic_ids import read_semantic_ids
from model.bundle.whole import check_target
from model.data.data_set import read_data_set
from model.data.timelines import need_order
from model.data.user_shards import UserShards, read_shards, split_by_user
from model.training.devices import is_main_process, wait_for_all
from model.training.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """`name` is the configuration's; `sids` and `init` are directories to take semantic ids and weights from."""

    recipe: Recipe
    name: str
    data: Path
    out: Path
    seed: int
    release: str
    now: datetime
    sids: Path | None = None
    init: Path | None = None

    @property
    def speaks(self) -> bool:
        """Whether this process shows progress and results; under torchrun one does."""
        return is_main_process()

    @property
    def run_path(self) -> Path:
        """Where checkpoints, the log of steps and shards go."""
        return self.out.with_name(self.out.name + ".training")

    def __call__(self, progress: Progress, *, resume: bool = False, force: bool = False) -> Built:
        """Run.  Raises BadConfig, BadDataSet, BadBundle, OSError; then no bundle is written."""
        check_target(self.out, MANIFEST_FILE, replace=force)
        try:
            return self._run(progress, resume=resume, force=force)
        except RankGRError:
            if self.speaks:
                self._leave_nothing_empty()
            raise

    def _run(self, progress: Progress, *, resume: bool, force: bool) -> Built:
        beginning: Beginning = FromSeed() if self.init is None else FromHuggingFace.read(self.init)
        if self.sids is None:
            return self._in_memory(beginning, progress, resume=resume, force=force)
        return self._streamed(self.sids, beginning, progress, resume=resume, force=force)

    def _in_memory(self, beginning: Beginning, progress: Progress, *, resume: bool, force: bool) -> Built:
        data = with_train_prices(read_data_set(self.data), self.data)
        need_order(data.log, data.name)
        source = Source.of(
            data, preset=self.name, recipe=self.recipe, seed=self.seed, release=self.release, init=beginning.name()
        )
        build = self._build(source, beginning, progress, resume=resume, force=force)
        return build(data, self.out, replace=force)

    def _streamed(self, sids: Path, beginning: Beginning, progress: Progress, *, resume: bool, force: bool) -> Built:
        ids = read_semantic_ids(sids)
        levels = len(ids.catalog.level_sizes)
        decoding = self.recipe.decoding
        if len(decoding.beams) != levels or len(decoding.lambdas) != levels:
            raise BadConfig(f"{sids} has {levels} levels: decoding.beams and decoding.lambdas need a width for each")
        shards = self._shards(progress)
        users = interactions = 0
        for log in shards.logs():
            need_order(log, self.data.resolve().name)
            users, interactions = users + len(log.users), interactions + len(log.item)
        source = Source(
            name=self.data.resolve().name,
            users=users,
            interactions=interactions,
            sha256=file_fingerprint(self.data),
            preset=self.name,
            recipe=self.recipe.digest,
            seed=self.seed,
            release=self.release,
            init=beginning.name(),
            sids=ids.catalog.version,
        )
        build = self._build(source, beginning, progress, resume=resume, force=force)
        built = build.from_ids(ids, shards, self.out, replace=force)
        if self.speaks:
            shutil.rmtree(self._shards_path, ignore_errors=True)
        return built

    def _leave_nothing_empty(self) -> None:
        """What was refused leaves no trace; what was begun keeps its log and its checkpoint."""
        shutil.rmtree(self._shards_path, ignore_errors=True)
        # Not empty, or never made.
        with suppress(OSError):
            self.run_path.rmdir()

    @property
    def _shards_path(self) -> Path:
        return self.run_path / "shards"

    def _shards(self, progress: Progress) -> UserShards:
        """The log in shards; one process cuts it."""
        if self.speaks:
            progress.begin("shards", 1)
            split_by_user(self.data, self._shards_path)
            progress.advance(1)
        wait_for_all()
        return read_shards(self._shards_path)

    def _build(
        self, source: Source, beginning: Beginning, progress: Progress, *, resume: bool, force: bool
    ) -> BuildBundle:
        run = RunDirectory(self.run_path, source.digest)
        if is_main_process():
            run.begin(resume=resume, replace=force)
        return BuildBundle(self.recipe, source, progress, self.now, beginning, run)
