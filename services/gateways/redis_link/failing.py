"""Errors of the redis library as errors of ours: one line, no password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    ConnectionError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
)

from contracts.errors import Unavailable
from services.gateways.redis_link.place import place_of, without_password

REDIS_ERRORS: tuple[type[Exception], ...] = (RedisError, RedisClusterException, OSError)
"""Whatever a client of the library raises; its errors about clusters are no RedisError."""


@contextmanager
def failing_as(kind: type[Unavailable], url: str) -> Iterator[None]:
    """Turn whatever goes wrong between us and the server into `kind`, with one line and no password."""
    try:
        yield
    except REDIS_ERRORS as error:
        raise kind(f"redis at {place_of(url)}: {_reason(error, url)}") from error


def _reason(error: Exception, url: str) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case AuthenticationError():
            return "the password was refused"
        case ConnectionError() if "No connection available" in str(error):
            return "all connections are busy"
        case ConnectionError() | OSError() | ClusterDownError() | RedisClusterException():
            return "cannot connect, or the connection was lost"
        case ResponseError():
            return without_password(f"refused: {error}", url)
        case _:
            return type(error).__name__
