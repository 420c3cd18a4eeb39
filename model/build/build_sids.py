"""Make semantic ids and write them: the use case behind `rankgr sid build`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contracts.progress import Progress
from model.build.semantic_ids import gather_evidence, make_semantic_ids
from model.bundle.semantic_ids import SIDS_FILE, write_semantic_ids
from model.bundle.whole import check_target
from model.data.data_set import DataSet
from model.data.hold_out import hold_out_last
from model.semantic_id.full_report import FullReport, full_report
from model.semantic_id.sentence_encoder import SentenceEncoder
from model.semantic_id.settings import SidSettings


@dataclass(frozen=True, slots=True)
class BuiltSids:
    """Which catalogue it became, what is to be said of it, and how many items nothing was known of."""

    catalog_version: str
    report: FullReport
    unknown: int


@dataclass(frozen=True, slots=True)
class BuildSids:
    """Turn a data set into a directory of semantic ids; equal data, settings and seed give equal ids."""

    settings: SidSettings
    encoder: SentenceEncoder | None
    now: datetime
    progress: Progress

    def __call__(self, data: DataSet, out: Path, *, replace: bool = False) -> BuiltSids:
        """Make and write.  Raises BadDataSet, BadBundle, or OSError when the disk refuses."""
        check_target(out, SIDS_FILE, replace=replace)
        if self.settings.hold_out:
            data = hold_out_last(data)
        made = make_semantic_ids(data, self.settings, self.progress, self.encoder)
        self.progress.begin("evidence", 3)
        evidence = gather_evidence(data, self.settings, made)
        self.progress.advance(1)
        report = full_report(made.sids.catalog, made.sids.quantiser, made.features_ND, evidence.relations)
        self.progress.advance(1)
        manifest = write_semantic_ids(made.sids, evidence, out, self.now, replace=replace)
        self.progress.advance(1)
        return BuiltSids(manifest.catalog_version, report, made.unknown)
