"""How often Python looks for cycles in a process of ours.

`rankgr serve` says it before it imports the process, `lifecycle` when the process is up.
"""

from __future__ import annotations

import gc

# Python's own 700 objects mean a look hundreds of times while a process is imported (a twelfth of that time) and again
# and again while it answers (a tenth of a small answer): modules are no garbage, and requests leave hardly any.
_THRESHOLDS = (20_000, 20, 100)


def look_seldom() -> None:
    """Look for cycles after so many objects only."""
    gc.set_threshold(*_THRESHOLDS)


def keep_what_is_here() -> None:
    """What is here now stays: a full collection that walks over it again would stop every request meanwhile."""
    gc.collect()
    gc.freeze()
