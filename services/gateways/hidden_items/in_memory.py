"""Hidden items in this process: for tests, and the plain statement of what the set in Redis does."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from contracts.errors import BadRequest
from contracts.ids import ItemId
from services.gateways.hidden_items.port import MAX_HIDDEN, HiddenSet, Version, too_many


class MemoryHiddenItems:
    """A dictionary with a version."""

    def __init__(self) -> None:
        self._since: dict[ItemId, int] = {}
        self._version = Version()
        self._births = 0

    async def change(self, hide: Mapping[ItemId, int], show: Collection[ItemId]) -> int:
        """See the port."""
        changed = {item: since for item, since in {**self._since, **hide}.items() if item not in show}
        if len(changed) > MAX_HIDDEN:
            raise BadRequest(too_many(len(changed)))
        self._since = changed
        if self._version.number == 0:
            self._births += 1
        self._version = Version(self._version.born or self._births, self._version.number + 1)
        return len(self._since)

    async def version(self) -> Version:
        """See the port."""
        return self._version

    async def read(self) -> HiddenSet:
        """See the port."""
        return HiddenSet(self._version, dict(self._since))

    async def restore(self, known: HiddenSet) -> None:
        """See the port."""
        if self._version.forgot(known.version):
            self._since = {**known.since, **self._since}
            number = max(self._version.number, known.version.number) + 1
            self._version = Version(known.version.born, number)

    def forget(self) -> None:
        """What a server that is started again empty does."""
        self._since, self._version = {}, Version()

    async def ping(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing to free."""
