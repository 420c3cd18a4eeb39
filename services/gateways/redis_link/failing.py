"""Errors of the redis library as errors of ours: one line, no password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

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
from services.runtime.redis_url import parse_redis_url

REDIS_ERRORS: tuple[type[Exception], ...] = (RedisError, RedisClusterException, OSError)
"""Whatever a client of the library raises; its errors about clusters are no RedisError."""


@contextmanager
def failing_as(kind: type[Unavailable], url: str) -> Iterator[None]:
    """Turn whatever goes wrong between us and the server into `kind`, with one line and no password."""
    try:
        yield
    except REDIS_ERRORS as error:
        raise kind(f"redis at {place_of(url)}: {_reason(error, url)}") from error


def place_of(url: str) -> str:
    """Host and port (or several, or the socket's path): the part of a URL that may be shown."""
    return str(parse_redis_url(url))


def without_password(text: str, url: str) -> str:
    """One line of bounded length in which no password of the URL stands."""
    line = " ".join(text.split())[:200]
    login = urlsplit(url).netloc.rpartition("@")[0]
    password = login.partition(":")[2]
    for secret in (password, unquote(password)) if password else ():
        line = line.replace(secret, "***")
    return line


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
