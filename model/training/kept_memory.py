"""Memory that a step frees stays with the process: the next step takes it again.

The C library gives blocks of a few megabytes back to the kernel at once; every tensor of every step is then
mapped, faulted in page by page and unmapped, which costs about a seventh of a training on a CPU.
"""

from __future__ import annotations

import ctypes

# mallopt's names for its parameters (malloc.h of the GNU C library).
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_THRESHOLD = -3

LARGEST_KEPT = 1 << 30
TOP_PAD = 1 << 26


def keep_freed_memory() -> bool:
    """Tell the C library, for the rest of this process; whether it listens (another than GNU's does not)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(
        mallopt(name, value)
        for name, value in ((M_MMAP_THRESHOLD, LARGEST_KEPT), (M_TRIM_THRESHOLD, LARGEST_KEPT), (M_TOP_PAD, TOP_PAD))
    )
