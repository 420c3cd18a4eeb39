"""An embedded server that is there for as long as the stack is: started again, where it was, when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from services.runtime.embedded_redis import EmbeddedRedis, ServerOptions, start_redis

LOOK_EVERY_S = 0.25


@dataclass(slots=True)
class KeptServer:
    """A server, and how it was started.  All calls come from the main thread, as `start_redis` asks."""

    name: str
    server: EmbeddedRedis
    options: ServerOptions

    @classmethod
    def start(cls, name: str, directory: Path, options: ServerOptions) -> KeptServer:
        """Start it with its files in `directory`.  Raises StoreDown."""
        return cls(name, start_redis(directory, options), options)

    @property
    def url(self) -> str:
        """The same over every restart."""
        return self.server.url

    async def watch(self, say: Callable[[str], None]) -> None:
        """Start it again, on its port and with its files, whenever it ends.  Raises StoreDown when it does not start.

        `say` gets one line per restart.  Nothing else in this loop runs meanwhile: without the server it could
        do little anyhow.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            code = self.server.process.poll()
            if code is not None:
                say(f"the {self.name} server ended (exit {code}), starting it again")
                self.server = start_redis(self.server.directory, replace(self.options, port=self.server.port))

    def stop(self) -> None:
        """End the one that runs now."""
        self.server.stop()
