"""A report on the semantic ids of a directory, whether it holds ids alone or a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model.build.semantic_ids import related_items
from model.bundle.new_items import QUANTISER_FILE, read_quantiser_file
from model.bundle.prompt_side import read_prompt_side
from model.bundle.semantic_ids import SIDS_FILE, read_evidence, read_semantic_ids
from model.data.data_set import read_data_set
from model.semantic_id.full_report import FullReport, full_report
from model.semantic_id.settings import SidSettings


def report_on(directory: Path, data: Path | None = None) -> FullReport:
    """Raises BadBundle for what is neither.  `data`: the data set of a bundle, which holds no evidence itself."""
    if (directory / SIDS_FILE).exists():
        sids, evidence = read_semantic_ids(directory), read_evidence(directory)
        return full_report(sids.catalog, sids.quantiser, evidence.vectors.astype(np.float32), evidence.relations)
    side = read_prompt_side(directory)
    quantiser = read_quantiser_file(directory) if QUANTISER_FILE in side.manifest.files else None
    relations = {}
    if data is not None:
        settings = SidSettings(history_level=side.prompt_format.history_level)
        relations = related_items(read_data_set(data), settings, side.catalog.item_id)
    return full_report(side.catalog, quantiser, None, relations)
