"""A stack of real processes for each arm: what `rankgr up` starts, with its trainer for the arm that learns.

Time is compressed by settings alone: a session's window is seconds instead of minutes, a publication is due every
period instead of every hour.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.bundles.promote import PromoteBundle
from services.gateways.bundle_store.chosen import open_bundle_store
from services.local.embedded_servers import embedded_servers
from services.local.stack import run_stack
from services.runtime.clock import Clock
from services.simulate.arm import Arm, Name, Past
from services.simulate.on_stack import StackArm
from services.simulate.updates import AwaitUpdate

WINDOW_S, LATENESS_S, IDLE_S = 4.0, 0.5, 1.0
# Behind the last deed: its session's window, event time that goes on by the clock, a turn and a step.
SETTLE_S = WINDOW_S + LATENESS_S + IDLE_S + 1.5
# A run takes minutes: on a busy machine a start may take some of them.
READY_WITHIN_S = 300.0
# A swap, and the look of the next period's first request.
SWAP_S = 3.0
BY = "rankgr simulate drift"


@dataclass(frozen=True, slots=True)
class Stacks:
    """`trainer`: its settings by name, where they are not its own defaults.  Files go below `place`."""

    place: Path
    past: Past
    page: int
    update_every_s: float
    trainer: Mapping[str, float | int]
    clock: Clock
    say: Callable[[str], None]

    @asynccontextmanager
    async def opened(self, name: Name, bundle: Path) -> AsyncIterator[Arm]:
        """A stack that serves `bundle`, everything up; it and its servers end with the block.

        Raises what `run_stack` raises.
        """
        place, learns = self.place / name.value, name is Name.UPDATES
        store = place / "store"
        with embedded_servers(place / "servers") as servers, _told(self._settings(place, learns)):
            if learns:
                PromoteBundle(open_bundle_store(str(store)), self.clock, BY, keep=10)(bundle)
            learns_in = str(store) if learns else ""
            running = run_stack(
                bundle, servers, self.clock, self.say, learns_in=learns_in, ready_within_s=READY_WITHIN_S
            )
            async with running as stack:
                updated = None
                if learns:
                    updated = AwaitUpdate(
                        store=open_bundle_store(str(store)),
                        engine_url=stack.urls["engine"],
                        clock=self.clock,
                        settle_s=SETTLE_S,
                        within_s=3 * self.update_every_s,
                        say=self.say,
                    )
                yield StackArm(
                    urls=stack.urls,
                    key_header=stack.key_header,
                    past=self.past,
                    page=self.page,
                    # The rest of a period is for samples to settle, to be learnt from and to be swapped to.
                    spread_s=max(1.0, self.update_every_s - SETTLE_S - SWAP_S) if learns else 0.0,
                    clock=self.clock,
                    updated=updated,
                )

    def _settings(self, place: Path, learns: bool) -> dict[str, str]:
        """Variables of this arm's processes."""
        ports = ("TRIGGER", "HISTORY", "RETRIEVAL", "ENGINE", "PRECOMPUTE", "SAMPLES", "TRAINER")
        told = {f"RANKGR_{name}_PORT": "0" for name in ports}
        told |= {
            "RANKGR_TRIGGER_USER_PER_S": "0",
            "RANKGR_RETRIEVAL_OLD_LISTS_S": "0",
            # Whatever else the environment serves from or publishes to is none of this run's business.
            "RANKGR_BUNDLE_STORE": "",
            "RANKGR_KAFKA_BOOTSTRAP": "",
            "RANKGR_SAMPLES_STATE": str(place / "samples.sqlite"),
            "RANKGR_TRAINER_STATE": str(place / "trainer"),
        }
        if not learns:
            return told
        told |= {
            "RANKGR_BUNDLE_POLL_S": "0.25",
            "RANKGR_SAMPLES_WINDOW_S": str(WINDOW_S),
            "RANKGR_SAMPLES_GAP_S": str(WINDOW_S),
            "RANKGR_SAMPLES_LATENESS_S": str(LATENESS_S),
            "RANKGR_SAMPLES_IDLE_S": str(IDLE_S),
            "RANKGR_TRAINER_PUBLISH_EVERY_S": str(self.update_every_s),
            # What is an hour elsewhere is a period here.
            "RANKGR_TRAINER_HELD_OUT_S": str(self.update_every_s),
            "RANKGR_TRAINER_LOOK_EVERY_S": "1",
            "RANKGR_TRAINER_THREADS": "1",
        }
        return told | {f"RANKGR_TRAINER_{name.upper()}": str(value) for name, value in self.trainer.items()}


@contextmanager
def _told(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables in our environment, which the children get too, inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
