"""What may be shown of a Redis URL."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from services.runtime.redis_url import parse_redis_url


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
