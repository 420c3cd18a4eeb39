"""Where the primary is, by what Sentinels say: the next one is asked each time, and nonsense is no address."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from services.gateways.redis_link.link_errors import LinkFailed, Reason
from services.gateways.redis_link.mux_connection import Reply
from services.gateways.redis_link.whereabouts import InTurn, PrimaryBySentinels
from services.runtime.redis_url import Address


@dataclass
class Sentinel:
    """Says always the same, or nothing."""

    says: Reply
    asked: int = 0

    async def ask(self, commands: bytes) -> Reply:
        assert commands.endswith(b"$8\r\nSENTINEL\r\n$6\r\nMASTER\r\n$4\r\nshop\r\n")
        self.asked += 1
        if self.says is None:
            raise LinkFailed(Reason.TIMEOUT)
        return self.says

    async def close(self) -> None:
        """No connection."""


def primary(port: bytes = b"7", flags: bytes = b"master") -> list[bytes]:
    return [b"name", b"shop", b"ip", b"10.0.0.1", b"port", port, b"flags", flags]


async def test_each_connection_begins_with_the_next_sentinel() -> None:
    sentinels = [Sentinel(primary(b"%d" % port)) for port in (1, 2, 3)]
    where = PrimaryBySentinels("shop", sentinels)
    assert [(await where()).port for _ in range(4)] == [1, 2, 3, 1]


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        b"OK",
        7,
        [],
        [b"ip"],
        [1, 2],
        primary(b"seven"),
        primary(flags=b"slave"),
        primary(flags=b"s_down,master"),
        primary(flags=b"master,o_down"),
        primary(flags=b"master,disconnected"),
        primary()[:-2],
        [b"ip", b"\xff", b"port", b"7", b"flags", b"master"],
        [b"ip", None, b"port", b"7", b"flags", b"master"],
    ],
)
async def test_a_sentinel_without_a_usable_answer_is_passed_over(nonsense: Reply) -> None:
    both = PrimaryBySentinels("shop", [Sentinel(nonsense), Sentinel(primary())])
    assert [await both() for _ in range(2)] == [Address("10.0.0.1", 7)] * 2
    with pytest.raises(ConnectionError, match="know no primary shop"):
        await PrimaryBySentinels("shop", [Sentinel(nonsense)] * 2)()


async def test_equal_places_are_taken_in_turn() -> None:
    where = InTurn([Address("a", 1), Address("b", 2)])
    assert [str(await where()) for _ in range(3)] == ["a:1", "b:2", "a:1"]
