"""The file of API keys: JSON, made readable by its owner only, replaced whole; no secret is in it.

`rankgr keys` writes it, every process reads it and looks again when it changes: a revoked key ends within seconds.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import BadKeyFile
from services.runtime.auth import Access, ApiKey, KeyId, Scope, digest_of, write_token
from services.runtime.clock import Clock, SystemClock

LOOK_EVERY_S = 1.0
MAX_KEYS = 1000

_log = logging.getLogger(__name__)


class KeyEntry(BaseModel):
    """One key as the file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-z]{1,32}$")
    name: str = Field(max_length=128)
    scopes: tuple[Scope, ...] = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created_at: datetime

    def key(self) -> ApiKey:
        """The same for the check."""
        return ApiKey(KeyId(self.id), frozenset(self.scopes), bytes.fromhex(self.sha256))


def _ids_are_apart(keys: tuple[KeyEntry, ...]) -> tuple[KeyEntry, ...]:
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("two keys have the same id")
    return keys


class KeyFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    keys: Annotated[tuple[KeyEntry, ...], AfterValidator(_ids_are_apart), Field(max_length=MAX_KEYS)] = ()

    @classmethod
    def read(cls, path: Path) -> KeyFile:
        """Raises BadKeyFile with one line that names the place."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise BadKeyFile(f"{path}: cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(step) for step in first["loc"]) or "file"
            raise BadKeyFile(f"{path}: {place}: {first['msg']}") from error

    def write(self, path: Path) -> None:
        """Replace the file at once.  A new one is readable by its owner only, an old one keeps owner and rights:
        whoever reads it as another user would else go on with keys that were revoked.  Raises BadKeyFile.
        """
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                _as_it_was(path, file.fileno())
                file.write(self.model_dump_json(indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise BadKeyFile(f"{path}: cannot be written: {error.strerror}") from error

    def with_key(self, key_id: KeyId, secret: str, name: str, scopes: tuple[Scope, ...], now: datetime) -> KeyFile:
        """With one key more, of which only the digest is kept.  Raises BadKeyFile when the file is full."""
        if len(self.keys) >= MAX_KEYS:
            raise BadKeyFile(f"the file holds {MAX_KEYS} keys already")
        entry = KeyEntry(id=key_id, name=name, scopes=scopes, sha256=digest_of(secret).hex(), created_at=now)
        return KeyFile(keys=(*self.keys, entry))

    def without_key(self, key_id: str) -> KeyFile:
        """With that key gone.  Raises BadKeyFile where there is none of that id."""
        left = tuple(key for key in self.keys if key.id != key_id)
        if len(left) == len(self.keys):
            raise BadKeyFile(f"there is no key {key_id!r}")
        return KeyFile(keys=left)


def _as_it_was(path: Path, file: int) -> None:
    """Owner and rights of the file at that path, where there is one, for the open one."""
    try:
        before = path.stat()
    except FileNotFoundError:
        return
    now = os.fstat(file)
    if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
        os.fchown(file, before.st_uid, before.st_gid)
    os.fchmod(file, stat.S_IMODE(before.st_mode))


@dataclass(slots=True)
class LiveKeys:
    """The file's keys, read again when it has changed.  A file that turns bad leaves the last good keys valid."""

    path: Path
    clock: Clock
    _keys: Mapping[str, ApiKey] = field(default_factory=dict, init=False)
    _seen: tuple[int, ...] = field(default=(), init=False)
    _look_at_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._seen = self._stamp()
        self._load()

    def current(self) -> Mapping[str, ApiKey]:
        """See `Keys`; once a second it asks the file system whether the file has changed."""
        now_s = self.clock.monotonic_s()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            if (stamp := self._stamp()) != self._seen:
                self._seen = stamp
                self._reload()
        return self._keys

    def _reload(self) -> None:
        try:
            self._load()
        except BadKeyFile as error:
            _log.error("the API keys stay as they were", extra={"reason": str(error)})
        else:
            _log.info("API keys read again", extra={"keys": len(self._keys)})

    def _load(self) -> None:
        self._keys = {entry.id: entry.key() for entry in KeyFile.read(self.path).keys}

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return (found.st_mtime_ns, found.st_ino, found.st_size)


def access_by(path: Path | None, clock: Clock | None = None) -> Access:
    """The door for a process that is told of this file, or of none.  Raises BadKeyFile."""
    return Access(None if path is None else LiveKeys(path, clock or SystemClock()))


def new_key(
    path: Path, key_id: KeyId, secret: str, *, name: str, scopes: tuple[Scope, ...], now: datetime
) -> tuple[KeyEntry, str]:
    """Add a key to the file, which need not exist; the entry, and the text that its holder sends."""
    file = KeyFile.read(path) if path.exists() else KeyFile()
    grown = file.with_key(key_id, secret, name, scopes, now)
    grown.write(path)
    return grown.keys[-1], write_token(key_id, secret)
