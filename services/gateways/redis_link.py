"""How every Redis adapter connects and fails: short timeouts, a bounded pool, at most one retry.

Adapters call `connect_redis` and wrap each call in `failing_as`.  Never raises an error of the client's
library.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ConnectionError, RedisError, ResponseError, TimeoutError

from contracts.errors import Unavailable


@dataclass(frozen=True, slots=True)
class RedisTimes:
    """How long a call may take: to connect, to be answered, to get a free one of `connections`.  Seconds.

    A request path cannot wait longer than this for a store that is down; consumers add their blocking time.
    """

    connect_s: float = 0.25
    answer_s: float = 0.25
    free_connection_s: float = 0.25
    connections: int = 64


def connect_redis(url: str, times: RedisTimes) -> Redis:
    """A client that connects on its first call, and again after every failure."""
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        url,
        max_connections=times.connections,
        timeout=times.free_connection_s,
        socket_connect_timeout=times.connect_s,
        socket_timeout=times.answer_s,
        # A connection that the server closed while it lay idle is found out by the first call: that one is
        # sent again, once.  A timeout never is: the server may be at it still.
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
        # The second protocol version needs no handshake, and every server and proxy speaks it.
        protocol=2,
    )
    return Redis.from_pool(pool)


@contextmanager
def failing_as(kind: type[Unavailable], url: str) -> Iterator[None]:
    """Turn whatever goes wrong between us and the server into `kind`, with one line and no password."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise kind(f"redis at {place_of(url)}: {_reason(error, url)}") from error


def place_of(url: str) -> str:
    """Host and port, or the socket's path: the part of a URL that may be shown."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


def _reason(error: Exception, url: str) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case AuthenticationError():
            return "the password was refused"
        case ConnectionError() if "No connection available" in str(error):
            return "all connections are busy"
        case ConnectionError() | OSError():
            return "cannot connect, or the connection was lost"
        case ResponseError():
            return _without_password(f"refused: {error}", url)
        case _:
            return type(error).__name__


def _without_password(text: str, url: str) -> str:
    line = " ".join(text.split())[:200]
    password = urlsplit(url).password
    for secret in (password, unquote(password)) if password else ():
        line = line.replace(secret, "***")
    return line
