"""The two servers behind a local stack: a cache that may be lost, and a stream that may not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.local.kept_server import KeptServer
from services.runtime.embedded_redis import ServerOptions
from services.runtime.sole_use import sole_use

CACHE_MB = 512
OTHERWISE = "stack: stop that one, or give this one another --state"


@dataclass(frozen=True, slots=True)
class EmbeddedServers:
    """Cache and stream, each a server of its own: evicting lists must not cost events."""

    cache: KeptServer
    stream: KeptServer
    state: Path

    def told(self) -> dict[str, str]:
        """Environment variables that point a process at them."""
        return {"RANKGR_REDIS_URL": self.cache.url, "RANKGR_STREAM_REDIS_URL": self.stream.url}

    def given(self) -> dict[str, object]:
        """The same as fields of settings."""
        return {"redis_url": self.cache.url, "stream_redis_url": self.stream.url}


@contextmanager
def embedded_servers(state: Path) -> Iterator[EmbeddedServers]:
    """Both run inside the block, with their files under `state`, which no other stack may use meanwhile.

    Call from the main thread.  Raises StoreDown.
    """
    with ExitStack() as running:
        running.enter_context(sole_use(state, OTHERWISE))
        cache = KeptServer.start("cache", state / "cache", ServerOptions(maxmemory_mb=CACHE_MB))
        running.callback(cache.stop)
        stream = KeptServer.start("stream", state / "stream", ServerOptions(append_only=True, fsync="always"))
        running.callback(stream.stop)
        yield EmbeddedServers(cache, stream, state)
