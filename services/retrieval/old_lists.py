"""How long lists of models that were replaced are still served: until they expire by themselves, or for a set time.

Used by `serve_candidates`; main tells it whenever a bundle takes another one's place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from services.gateways.candidate_store.port import ListHead
from services.runtime.clock import Clock


@dataclass(slots=True)
class OldLists:
    """`keep_s`: after a swap; infinite: as long as they are stored.  Nothing is dropped before the first `serves`."""

    clock: Clock
    keep_s: float = math.inf
    _served: dict[str, tuple[str, str]] = field(default_factory=dict, init=False)
    _since_s: float = field(default=math.inf, init=False)

    def serves(self, channel: str, model_version: str, catalog_version: str) -> None:
        """From now on these versions are those of the channel."""
        self._served[channel] = (model_version, catalog_version)
        self._since_s = self.clock.monotonic_s()

    def may_serve(self, head: ListHead) -> bool:
        """Whether a list of this model is to be shown."""
        if self.keep_s == math.inf or self.clock.monotonic_s() - self._since_s < self.keep_s:
            return True
        return (head.model_version, head.catalog_version) in self._served.values()
