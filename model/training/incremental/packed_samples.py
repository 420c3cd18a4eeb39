"""Samples of a stream to one batch: the very path that training from a log takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.training.batches import Batch, ask
from model.training.config import LossConfig, SampleConfig
from model.training.incremental.stream_sample import StreamSample
from model.training.samples import draw_samples
from model.training.session_table import SessionTable

# Axes: N samples that have something to learn.


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """`batch` None: nothing in these samples can be learnt from.

    used: numbers of the samples that are in it.  unknown_items: of the samples' items and histories, which the
    catalogue does not know.
    """

    batch: Batch | None
    used: frozenset[int]
    unknown_items: int


def batch_of(
    samples: Sequence[StreamSample],
    fmt: PromptFormat,
    catalog: Catalog,
    config: SampleConfig,
    losses: LossConfig,
    rng: np.random.Generator,
) -> StreamBatch:
    """Each sample is a row: its history, its circumstances, its targets, as `draw_samples` draws them."""
    timelines = [sample.timeline(fmt.history_level) for sample in samples]
    unknown = sum(
        int((catalog.rows_of(items) < 0).sum()) for each in timelines for items in (each.items, each.sessions[0].items)
    )
    table = SessionTable.of(timelines, fmt, catalog)
    if not len(table):
        return StreamBatch(None, frozenset(), unknown)
    # Which samples are learnt from was decided before; here nothing is thinned out.
    drawn = draw_samples(
        table, fmt, catalog, dataclasses.replace(config, user_sessions=0, weak_sessions=1.0, last_sessions=0), rng
    )
    rows = np.arange(len(drawn))
    return StreamBatch(Batch(drawn, rows, ask(drawn, rows, losses)), frozenset(table.user_N.tolist()), unknown)
