"""Where the next connection goes: to an address, to one of several in turn, or to what Sentinels call the primary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.gateways.redis_link.link_errors import LinkFailed
from services.gateways.redis_link.mux_connection import Reply
from services.gateways.redis_link.resp import command
from services.runtime.redis_url import Address

# A primary that its Sentinel knows by nothing but hearsay, or believes to be gone.
_UNUSABLE = frozenset({b"s_down", b"o_down", b"disconnected"})


class Where(Protocol):
    """An address, or a socket's path, anew for each connection.  Raises OSError where nobody knows."""

    async def __call__(self) -> Address | str: ...

    async def close(self) -> None:
        """End whatever connections asking takes."""
        ...


@dataclass(frozen=True, slots=True)
class Always:
    """One place."""

    at: Address | str

    async def __call__(self) -> Address | str:
        return self.at

    async def close(self) -> None:
        """Nobody was asked."""


@dataclass(slots=True)
class InTurn:
    """One of several that are equally good, each time the next."""

    at: Sequence[Address]
    _next: int = field(default=0, init=False)

    async def __call__(self) -> Address:
        one = self.at[self._next]
        self._next = (self._next + 1) % len(self.at)
        return one

    async def close(self) -> None:
        """Nobody was asked."""


class Asked(Protocol):
    """A Sentinel, over a connection that is kept."""

    async def ask(self, commands: bytes) -> Reply:
        """The reply.  Raises LinkFailed."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class PrimaryBySentinels:
    """The primary called `name`.

    Each question begins at the next Sentinel: one that is silent, or knows of a failover no better than before, costs
    one connection and not all of them.
    """

    name: str
    sentinels: Sequence[Asked]
    _next: int = field(default=0, init=False)

    async def __call__(self) -> Address:
        asked = command(b"SENTINEL", b"MASTER", self.name.encode())
        for _ in self.sentinels:
            sentinel = self.sentinels[self._next]
            self._next = (self._next + 1) % len(self.sentinels)
            try:
                found = _address(await sentinel.ask(asked))
            except LinkFailed:
                continue
            if found is not None:
                return found
        raise ConnectionError(f"the Sentinels know no primary {self.name}")

    async def close(self) -> None:
        """End the connections to the Sentinels."""
        for sentinel in self.sentinels:
            await sentinel.close()


def _address(reply: Reply) -> Address | None:
    """The primary's, out of names and values one after the other; None where this is no primary that can be used."""
    if not isinstance(reply, list):
        return None
    try:
        said = dict(zip(reply[::2], reply[1::2], strict=True))
        flags = set(said[b"flags"].split(b","))
        at = Address(said[b"ip"].decode(), int(said[b"port"]))
    except (KeyError, ValueError, TypeError, AttributeError):
        # No Sentinel's answer, whatever it is.
        return None
    return at if b"master" in flags and not flags & _UNUSABLE else None
