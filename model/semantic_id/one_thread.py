"""Keep numeric libraries on one thread while semantic ids are made; called around each heavy step.

Partial sums that are added in another order would give another bundle from the same seed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


def one_thread() -> AbstractContextManager[object]:
    """Inside it BLAS and OpenMP use one thread: repeatable, and on a busy machine several times faster."""
    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits
