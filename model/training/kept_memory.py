"""Memory that a step frees stays with the process while it trains: the next step takes it again.

The C library gives blocks of a few megabytes back to the kernel at once; every tensor of every step is then
mapped, faulted in page by page and unmapped, which a training on a CPU notices.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# mallopt's names for its parameters (malloc.h of the GNU C library).
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_THRESHOLD = -3

KEPT = {M_MMAP_THRESHOLD: 1 << 30, M_TRIM_THRESHOLD: 1 << 30, M_TOP_PAD: 1 << 26}
# Where the library's own thresholds end up in a process that frees large blocks (mallopt(3)).
USUAL = {M_MMAP_THRESHOLD: 1 << 25, M_TRIM_THRESHOLD: 1 << 26, M_TOP_PAD: 0}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside the block; behind it, what is free goes back.  Another C library than GNU's is left as it is."""
    try:
        library = ctypes.CDLL(None)
        mallopt, malloc_trim = library.mallopt, library.malloc_trim
    except (AttributeError, OSError, TypeError):
        yield
        return
    for name, value in KEPT.items():
        mallopt(name, value)
    try:
        yield
    finally:
        for name, value in USUAL.items():
            mallopt(name, value)
        malloc_trim(0)
