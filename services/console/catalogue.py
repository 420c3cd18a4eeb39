"""Keeps the words up to date: the first catalogue as soon as there is one, then whatever the store's channel points to.

Main runs it beside the app.  A store that is down at the start costs titles, not the console.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import BadBundle, NoSuchBundle, Unavailable
from model.bundle.prompt_side import PromptSide, read_prompt_side
from services.bundles.opened import OpenedBundles
from services.console.words import Words

AGAIN_S = 2.0


def read_side(directory: Path) -> PromptSide:
    """Catalogue and prompt format alone.  Raises BadBundle."""
    return read_prompt_side(directory, whole=False)


@dataclass(frozen=True, slots=True)
class FollowCatalogue:
    """`first` raises BadBundle: a directory that is no bundle is a mistake, and no outage."""

    bundles: OpenedBundles
    words: Words

    def first(self) -> bool:
        """Read it if it can be had now."""
        try:
            self.words.use(self.bundles.first(read_side))
        except (Unavailable, NoSuchBundle) as error:
            self.words.why = str(error)
            return False
        return True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow inside the block."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            # However it ended: what is open has to be closed.
            await asyncio.gather(task, return_exceptions=True)
            self.bundles.close()

    async def _follow(self) -> None:
        while self.words.side is None:
            if not await self._first_of_a_late_store():
                await asyncio.sleep(AGAIN_S)
        assert self.words.side is not None
        async with self.bundles.following(self._use, self.words.side.manifest, None).followed():
            await asyncio.Event().wait()

    async def _first_of_a_late_store(self) -> bool:
        """What a store shows that was away may be bad, too: said like an outage, and tried again."""
        try:
            return await asyncio.to_thread(self.first)
        except (BadBundle, OSError) as error:
            self.words.why = str(error)
            return False

    async def _use(self, directory: Path) -> None:
        self.words.use(await asyncio.to_thread(read_side, directory))
