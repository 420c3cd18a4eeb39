"""The join's state in one SQLite file: main of samples builds it.

Every step is a transaction, synced before it counts (WAL, synchronous=FULL).  The file is locked while it is open, so
that of two processes that were given the same one the second ends.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from contracts.errors import BadInput, StoreDown
from services.gateways.join_state.port import Kept, KeptUser, Mark, Outgoing, Step

FORMAT = 1
CACHE_KIB = 32 * 1024
# A log that one large step made longer than this is cut again.
LOG_BYTES = 64 * 1024 * 1024
# The one before us may just be ending.
LOCKED_FOR_S = 5.0
ASKED_AT_ONCE = 500

_TABLES = """
create table if not exists about (name text primary key, value text not null) without rowid;
create table if not exists users (
  user text primary key, waits integer not null, at_ms integer not null, written blob not null
);
create index if not exists those_who_wait on users (user) where waits;
create index if not exists those_who_do_not on users (at_ms) where not waits;
create table if not exists marks (
  topic text, part text, position text not null, newest integer not null, primary key (topic, part)
) without rowid;
create table if not exists outgoing (number integer primary key, topic text, key text, payload blob);
"""

T = TypeVar("T")


class DiskJoinState:
    """A JoinState at `path`; the directory is made where it is missing."""

    def __init__(self, path: Path, *, locked_for_s: float = LOCKED_FOR_S) -> None:
        self._path = path
        self._locked_for_s = locked_for_s
        self._file: sqlite3.Connection | None = None
        # SQLite waits for the disk: not on the event loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="join-state")

    async def begin(self, owner: str) -> Kept:
        """See the port."""
        return await self._on_thread(self._begin, owner)

    async def waiting(self, after: str, most: int) -> list[KeptUser]:
        """See the port."""
        return await self._on_thread(self._waiting, after, most)

    async def users(self, names: Collection[str]) -> dict[str, bytes]:
        """See the port."""
        return await self._on_thread(self._users, list(names)) if names else {}

    async def keep(self, step: Step, now_ms: int) -> None:
        """See the port."""
        await self._on_thread(self._keep, step, now_ms)

    async def sent(self) -> None:
        """See the port."""
        await self._on_thread(self._sent)

    async def forget(self, before_ms: int, most: int) -> int:
        """See the port."""
        return await self._on_thread(self._forget, before_ms, most)

    async def close(self) -> None:
        """See the port."""
        # RuntimeError: it was closed before.
        with suppress(StoreDown, RuntimeError):
            await self._on_thread(self._close)
        self._thread.shutdown(wait=False)

    async def _on_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._named, work, *arguments)

    def _named(self, work: Callable[..., T], *arguments: object) -> T:
        try:
            return work(*arguments)
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise StoreDown(f"the join's state in {self._path}: {reason}") from error

    @property
    def _open(self) -> sqlite3.Connection:
        if self._file is None:
            raise StoreDown(f"the join's state in {self._path} is not open")
        return self._file

    def _begin(self, owner: str) -> Kept:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._file is None:
            file = sqlite3.connect(
                self._path, timeout=self._locked_for_s, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(file, owner)
            except BaseException:
                file.close()
                raise
            self._file = file
        marks = {
            (topic, part): Mark(position, newest)
            for topic, part, position, newest in self._open.execute("select topic, part, position, newest from marks")
        }
        told = dict(self._open.execute("select name, value from about"))
        outgoing = self._open.execute("select topic, key, payload from outgoing order by number")
        return Kept(int(told.get("watermark", 0)), marks, [Outgoing(*row) for row in outgoing])

    def _prepare(self, file: sqlite3.Connection, owner: str) -> None:
        try:
            # Before anything is read: no other process may have it open, and no shared memory is needed.
            file.execute("pragma locking_mode=exclusive")
            file.execute("pragma journal_mode=wal")
            file.execute("pragma synchronous=full")
            file.execute(f"pragma cache_size=-{CACHE_KIB}")
            file.execute(f"pragma journal_size_limit={LOG_BYTES}")
            with _transaction(file):
                for table in _TABLES.split(";"):
                    file.execute(table)
                told = dict(file.execute("select name, value from about"))
                if told.get("format", str(FORMAT)) != str(FORMAT):
                    raise BadInput(f"{self._path} is of format {told['format']}, this release knows {FORMAT}")
                if told.get("owner", owner) != owner:
                    raise BadInput(f"{self._path} belongs to {told['owner']}, not to {owner}")
                file.executemany(
                    "insert or replace into about values (?, ?)", [("format", str(FORMAT)), ("owner", owner)]
                )
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise BadInput(f"another process has {self._path} open") from error
            raise
        except sqlite3.DatabaseError as error:
            raise BadInput(f"{self._path} is no state of the join, or damaged: {error}") from error

    def _waiting(self, after: str, most: int) -> list[KeptUser]:
        asked = "select user, waits, written from users where waits and user > ? order by user limit ?"
        return [
            KeptUser(user, bool(waits), written) for user, waits, written in self._open.execute(asked, (after, most))
        ]

    def _users(self, names: list[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for begin in range(0, len(names), ASKED_AT_ONCE):
            some = names[begin : begin + ASKED_AT_ONCE]
            marks = ",".join("?" * len(some))
            found |= dict(self._open.execute(f"select user, written from users where user in ({marks})", some))
        return found

    def _keep(self, step: Step, now_ms: int) -> None:
        with _transaction(self._open) as file:
            file.executemany(
                "insert into users values (?, ?, ?, ?) on conflict (user) do update set"
                " waits = excluded.waits, at_ms = excluded.at_ms, written = excluded.written",
                [(one.user, one.waits, now_ms, one.written) for one in step.users],
            )
            file.executemany(
                "insert or replace into marks values (?, ?, ?, ?)",
                [(*part, mark.position, mark.newest) for part, mark in step.marks.items()],
            )
            file.execute("insert or replace into about values ('watermark', ?)", (str(step.watermark),))
            file.execute("delete from outgoing")
            file.executemany(
                "insert into outgoing (topic, key, payload) values (?, ?, ?)",
                [(one.topic, one.key, one.payload) for one in step.outgoing],
            )

    def _sent(self) -> None:
        with _transaction(self._open) as file:
            file.execute("delete from outgoing")

    def _forget(self, before_ms: int, most: int) -> int:
        with _transaction(self._open) as file:
            old = "select user from users where not waits and at_ms < ? limit ?"
            return file.execute(f"delete from users where user in ({old})", (before_ms, most)).rowcount

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


@contextmanager
def _transaction(file: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    file.execute("begin immediate")
    try:
        yield file
        file.execute("commit")
    except BaseException:
        # SQLite may have rolled back by itself, as it does when the disk is full.
        if file.in_transaction:
            file.execute("rollback")
        raise
