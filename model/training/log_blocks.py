"""Blocks of sessions from pieces of a log: the whole of it in memory, or shards of which one is held at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from model.data.log import InteractionLog, Split
from model.data.timelines import log_timelines
from model.data.user_shards import UserShards
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.training.session_table import SessionTable

Logs = Sequence[InteractionLog] | UserShards
"""The pieces of a log, whole users in each."""


@dataclass(frozen=True, slots=True)
class LogBlocks:
    """The sessions of one piece at a time; the last one asked for is kept."""

    logs: Logs
    fmt: PromptFormat
    catalog: Catalog
    last_sessions: int = 0
    splits: tuple[Split, ...] = (Split.TRAIN,)
    _kept: dict[int, SessionTable] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.logs)

    def __getitem__(self, number: int) -> SessionTable:
        if number not in self._kept:
            self._kept.clear()
            log = self.logs.log(number) if isinstance(self.logs, UserShards) else self.logs[number]
            timelines = list(log_timelines(log, self.fmt.history_level, self.splits))
            self._kept[number] = SessionTable.of(timelines, self.fmt, self.catalog, self.last_sessions)
        return self._kept[number]
