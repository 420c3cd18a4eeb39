"""How often one and the same may come: a bucket of tokens per name, in bounded memory.

Trigger limits users and API keys with it.  Counts in this process alone: two processes let twice as much through.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.errors import RateLimited

# More names than this at once are more than one process serves; what is forgotten then gets a full bucket.
MOST_NAMES = 200_000


@dataclass(slots=True)
class RateLimit:
    """At most `per_s` a second on average, and `burst` at once; `whose` stands in the error.

    A bucket is kept as the time at which it is full again.  One that is full says nothing: names are kept in two
    generations, and the older one is dropped as soon as all in it must be full.
    """

    whose: str
    per_s: float
    burst: int
    _full_at_s: dict[str, float] = field(default_factory=dict, init=False)
    _older: dict[str, float] = field(default_factory=dict, init=False)
    _turn_at_s: float = field(default=0.0, init=False)

    def take(self, name: str, now_s: float) -> None:
        """One more of this name; `now_s` never goes back.  Raises RateLimited, which takes nothing."""
        if now_s >= self._turn_at_s or len(self._full_at_s) >= MOST_NAMES:
            self._older, self._full_at_s = self._full_at_s, {}
            self._turn_at_s = now_s + self.burst / self.per_s
        full_at_s = self._full_at_s.get(name) or self._older.get(name, 0.0)
        after_s = (full_at_s if full_at_s > now_s else now_s) + 1 / self.per_s
        late_s = after_s - now_s - self.burst / self.per_s
        if late_s > 1e-9:
            raise RateLimited(self.whose, late_s)
        self._full_at_s[name] = after_s
