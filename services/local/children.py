"""Light processes of the stack as children of ours: started, watched, started again, ended.

They run `rankgr serve NAME`, just as in a deployment; only what they are told by their environment differs.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from contracts.errors import Unavailable
from services.runtime.clock import Clock
from services.runtime.die_with_parent import die_with_parent

STOP_WITHIN_S = 12.0
# A child that ends this soon after its start will not do better the next time.
SHORT_LIFE_S = 5.0
SHORT_LIVES = 3
# Nobody balances load over one process of a kind: there is nobody to wait for before it ends.
ALONE = {"RANKGR_DRAIN_S": "0"}
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0


@dataclass(slots=True)
class Child:
    """One process of the stack.  `told` is added to our environment; `say` gets one line per restart."""

    name: str
    told: Mapping[str, str]
    clock: Clock
    say: Callable[[str], None]
    process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    async def start(self) -> None:
        """Start it once."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.cli",
            "serve",
            self.name,
            env={**os.environ, **ALONE, **self.told},
            stdin=asyncio.subprocess.DEVNULL,
            # Ctrl-C reaches the whole group: we alone decide when a child goes.
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )

    async def watch(self) -> None:
        """Start it again whenever it ends, until it is stopped.  Raises Unavailable when that does not help."""
        pause_s, short_lives = FIRST_PAUSE_S, 0
        while self.process is not None:
            began_s = self.clock.monotonic_s()
            code = await self.process.wait()
            if self._stopped:
                return
            lived_s = self.clock.monotonic_s() - began_s
            short_lives = short_lives + 1 if lived_s < SHORT_LIFE_S else 0
            if short_lives >= SHORT_LIVES:
                raise Unavailable(
                    f"{self.name} ended {short_lives} times soon after its start (exit {code}); its log says why"
                )
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S) if short_lives else FIRST_PAUSE_S
            self.say(f"{self.name} ended (exit {code}), starting it again")
            await asyncio.sleep(pause_s)
            await self.start()

    async def stop(self) -> None:
        """End it: SIGTERM lets it finish what is in flight, SIGKILL if it does not listen."""
        self._stopped = True
        process, self.process = self.process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
