"""Who runs on which core: what is measured has one for itself, the generator and the stores share the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from services.runtime.die_with_parent import die_with_parent


@dataclass(frozen=True, slots=True)
class Cores:
    """Core numbers."""

    server: frozenset[int]
    others: frozenset[int]

    @classmethod
    def of_this_machine(cls) -> Cores:
        """The first core serves, the rest ask; on a machine of one core all share it."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(frozenset(usable[:1]), frozenset(usable[1:] or usable))


def pinned(cores: frozenset[int]) -> Callable[[], None]:
    """What a child does between fork and exec: stay on these cores, and end with us."""
    end_with_us = die_with_parent()

    def pin() -> None:
        os.sched_setaffinity(0, cores)
        if end_with_us is not None:
            end_with_us()

    return pin
