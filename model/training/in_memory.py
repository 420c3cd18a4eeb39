"""Blocks of sessions that are all in memory: logs of a few million events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Self

from model.data.timelines import Timeline
from model.prompt import PromptFormat
from model.semantic_id.catalog import Catalog
from model.training.session_table import SessionTable

BLOCK_USERS = 20_000


@dataclass(frozen=True, slots=True)
class InMemory:
    """Tables of at most BLOCK_USERS users each, in the order of the timelines."""

    tables: tuple[SessionTable, ...]

    def __len__(self) -> int:
        return len(self.tables)

    def __getitem__(self, number: int) -> SessionTable:
        return self.tables[number]

    @classmethod
    def of(cls, timelines: Iterable[Timeline], fmt: PromptFormat, catalog: Catalog, last_sessions: int = 0) -> Self:
        """Of all of these users."""
        users = iter(timelines)
        tables = []
        while block := list(islice(users, BLOCK_USERS)):
            tables.append(SessionTable.of(block, fmt, catalog, last_sessions))
        return cls(tuple(tables))
