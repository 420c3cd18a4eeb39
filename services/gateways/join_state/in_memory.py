"""The join's state in this process: for tests, and the plain statement of what the other one does."""

from __future__ import annotations

from collections.abc import Collection

from contracts.errors import BadInput
from services.gateways.join_state.port import Kept, KeptUser, Mark, Outgoing, Part, Step


class MemoryJoinState:
    """Dictionaries; an owner that comes again finds what the last one kept."""

    def __init__(self) -> None:
        self._owner: str | None = None
        self._open = False
        self._users: dict[str, tuple[KeptUser, int]] = {}
        self._marks: dict[Part, Mark] = {}
        self._watermark = 0
        self._outgoing: list[Outgoing] = []

    async def begin(self, owner: str) -> Kept:
        """See the port."""
        if self._open:
            raise BadInput("another process has this state open")
        if self._owner not in (None, owner):
            raise BadInput(f"this state belongs to {self._owner}, not to {owner}")
        self._owner, self._open = owner, True
        return Kept(self._watermark, dict(self._marks), list(self._outgoing))

    async def waiting(self, after: str, most: int) -> list[KeptUser]:
        """See the port."""
        names = sorted(name for name, (one, _at) in self._users.items() if one.waits and name > after)
        return [self._users[name][0] for name in names[:most]]

    async def users(self, names: Collection[str]) -> dict[str, bytes]:
        """See the port."""
        return {name: self._users[name][0].written for name in names if name in self._users}

    async def keep(self, step: Step, now_ms: int) -> None:
        """See the port."""
        for one in step.users:
            self._users[one.user] = (one, now_ms)
        self._marks |= step.marks
        self._watermark = step.watermark
        self._outgoing = list(step.outgoing)

    async def sent(self) -> None:
        """See the port."""
        self._outgoing = []

    async def forget(self, before_ms: int, most: int) -> int:
        """See the port."""
        old = [name for name, (one, at) in self._users.items() if not one.waits and at < before_ms][:most]
        for name in old:
            del self._users[name]
        return len(old)

    async def close(self) -> None:
        """See the port."""
        self._open = False
