"""MuxRedis: one Redis, whatever stands behind its URL, over shared connections; for the paths that count microseconds.

Adapters of hot paths use it: `await mux.ask(key, command(b"GET", key))`.  Every call either answers within about
`answer_s`, or raises LinkFailed; while the breaker is open it raises at once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Any, Protocol

import hiredis

from services.gateways.redis_link.cluster_slots import SLOTS, read_slots, redirection, slot_of
from services.gateways.redis_link.link_errors import LinkFailed, Reason
from services.gateways.redis_link.mux_connection import Reply
from services.gateways.redis_link.mux_node import LinkWatch, MuxNode, Unwatched
from services.gateways.redis_link.node_maker import NodeMaker
from services.gateways.redis_link.place import without_password
from services.gateways.redis_link.resp import Part, command, shape
from services.gateways.redis_link.times import RedisTimes
from services.gateways.redis_link.whereabouts import Always
from services.runtime.redis_url import Address, Cluster, parse_redis_url

# How often a cluster may be asked anew who has which slots.
REFRESH_EVERY_S = 0.1


class _Router(Protocol):
    def ask(self, key: bytes, commands: bytes, replies: int) -> Coroutine[Any, Any, Reply]: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest it is known by; all its keys must share a slot."""

    text: bytes
    digest: bytes

    @classmethod
    def of(cls, text: str) -> Script:
        """The script with this text."""
        return cls(text.encode(), hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode())

    def shape(self, keys: int, arguments: int) -> bytes:
        """A call with all of these left open (see `resp.shape`)."""
        return shape(b"EVALSHA", self.digest, b"%d" % keys, open_parts=keys + arguments)


class MuxRedis:
    """Asks the right server.  What is asked must bear to be done twice: a lost connection is tried again, once."""

    def __init__(self, router: _Router, url: str) -> None:
        self._router = router
        self._url = url

    @classmethod
    def connect(
        cls, url: str, times: RedisTimes | None = None, *, watch: LinkWatch | None = None, random: Random | None = None
    ) -> MuxRedis:
        """It connects on its first call."""
        times = times or RedisTimes()
        make = NodeMaker(parse_redis_url(url), times, watch or Unwatched(), random or SystemRandom())
        match make.place:
            case Cluster(at=at):
                return cls(_ClusterNodes(make, at), url)
            case _:
                return cls(_OneNode(make.node(make.where())), url)

    async def ask(self, key: bytes, commands: bytes, replies: int = 1) -> Reply:
        """The reply to commands about this key.  Raises LinkFailed, with the server's words where it refused one."""
        reply = await self._router.ask(key, commands, replies)
        return reply if type(reply) is bytes else self._checked(reply)

    async def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Part]) -> Reply:
        """The script's reply; its text is sent where the server does not have it."""
        asked: tuple[Part, ...] = (len(keys), *keys, *arguments)
        reply = await self._router.ask(keys[0], command(b"EVALSHA", script.digest, *asked), 1)
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            return await self.ask(keys[0], command(b"EVAL", script.text, *asked))
        return self._checked(reply)

    async def call(self, script: Script, key: bytes, call: bytes) -> Reply:
        """The reply to a script's call, put together by the caller (`Script.shape`); `key` is one of its keys."""
        reply = await self._router.ask(key, call, 1)
        if type(reply) is bytes:
            return reply
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            await self.ask(key, command(b"SCRIPT", b"LOAD", script.text))
            reply = await self._router.ask(key, call, 1)
        return self._checked(reply)

    async def ping(self) -> None:
        """Raise LinkFailed unless a server answers."""
        await self.ask(b"", command(b"PING"))

    async def close(self) -> None:
        """End all connections."""
        await self._router.close()

    def _checked(self, reply: Reply) -> Reply:
        if isinstance(reply, hiredis.ReplyError):
            raise LinkFailed(Reason.REFUSED, without_password(f"refused: {reply}", self._url))
        if isinstance(reply, list):
            for one in reply:
                self._checked(one)
        return reply


@dataclass(frozen=True, slots=True)
class _OneNode:
    node: MuxNode

    def ask(self, _key: bytes, commands: bytes, replies: int) -> Coroutine[Any, Any, Reply]:
        return self.node.ask(commands, replies)

    async def close(self) -> None:
        await self.node.close()


@dataclass(slots=True)
class _ClusterNodes:
    """Nodes by their address, and which of them has each slot."""

    make: NodeMaker
    known: tuple[Address, ...]
    nodes: dict[Address, MuxNode] = field(default_factory=dict, init=False)
    slots: list[MuxNode | None] = field(default_factory=lambda: [None] * SLOTS, init=False)
    _refreshing: asyncio.Task[None] | None = field(default=None, init=False)
    _refreshed_s: float = field(default=-REFRESH_EVERY_S, init=False)

    async def ask(self, key: bytes, commands: bytes, replies: int) -> Reply:
        slot = slot_of(key)
        node = self.slots[slot]
        if node is None:
            await self._refresh()
            node = self.slots[slot]
            if node is None:
                raise LinkFailed(Reason.UNREACHABLE)
        try:
            reply = await node.ask(commands, replies)
        except LinkFailed:
            # Another node may have its slots by now.  This call is over all the same.
            self._refresh_soon()
            raise
        return await self._followed(reply, commands, replies)

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        for node in self.nodes.values():
            await node.close()

    async def _followed(self, reply: Reply, commands: bytes, replies: int) -> Reply:
        """The reply, from where the cluster says that the slot is."""
        refusals = reply if isinstance(reply, list) and replies > 1 else [reply]
        for refusal in refusals:
            if isinstance(refusal, hiredis.ReplyError) and (found := redirection(refusal)):
                kind, address = found
                node = self._node(address)
                if kind == "MOVED":
                    self._refresh_soon()
                    return await node.ask(commands, replies)
                answers: list[Any] = await node.ask(command(b"ASKING") + commands, replies + 1)
                return answers[1:] if replies > 1 else answers[1]
        return reply

    def _node(self, address: Address) -> MuxNode:
        if address not in self.nodes:
            self.nodes[address] = self.make.node(Always(address))
        return self.nodes[address]

    def _refresh_soon(self) -> asyncio.Task[None]:
        if self._refreshing is None:
            self._refreshing = asyncio.ensure_future(self._read_slots())
            self._refreshing.add_done_callback(self._refreshed)
        return self._refreshing

    def _refreshed(self, task: asyncio.Task[None]) -> None:
        self._refreshing = None
        if not task.cancelled():
            # Whoever waited for it has the error; nobody needs to.
            task.exception()

    async def _refresh(self) -> None:
        await asyncio.shield(self._refresh_soon())

    async def _read_slots(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = self._refreshed_s + REFRESH_EVERY_S - loop.time()
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        self._refreshed_s = loop.time()
        for address in dict.fromkeys((*self.nodes, *self.known)):
            try:
                reply = await self._node(address).ask(command(b"CLUSTER", b"SLOTS"))
            except LinkFailed:
                continue
            if isinstance(reply, list) and reply:
                await self._take(reply, address)
                return
        raise LinkFailed(Reason.UNREACHABLE)

    async def _take(self, reply: Reply, asked: Address) -> None:
        slots: list[MuxNode | None] = [None] * SLOTS
        here: set[Address] = set(self.known)
        for numbers, address in read_slots(reply, asked):
            here.add(address)
            node = self._node(address)
            for number in numbers:
                slots[number] = node
        self.slots = slots
        for gone in set(self.nodes) - here:
            await self.nodes.pop(gone).close()
