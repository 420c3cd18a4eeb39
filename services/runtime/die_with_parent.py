"""Children that end with us, even when we are killed: nothing of ours is left behind holding a port."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> Callable[[], None] | None:
    """What to run between fork and exec: asks the kernel for SIGTERM when our starter ends (Linux; else None).

    The kernel looks at the thread that started the child, so start children from a thread that lives as long.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            # The parent ended before we asked.
            os._exit(1)

    return ask
