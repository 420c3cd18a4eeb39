"""Functions that numba compiles for the CPU at first use: no C++ compiler is needed, only the wheel.

`pair_kernel` is written in it.  Nothing here knows of beams and codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba.extending import intrinsic

P = ParamSpec("P")
R = TypeVar("R")

# Sums may be reordered and products contracted, so that loops become vector instructions; NaN and infinity
# keep their meaning, for they tell a broken model.
FASTMATH = {"contract", "reassoc", "arcp", "nsz", "afn"}


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function in machine code, without the GIL.  Kept on disk where a place for it can be written."""
    options = {"fastmath": FASTMATH, "nogil": True, "error_model": "numpy"}
    try:
        made = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written to: compiled at every start.
        made = numba.njit(**options)(function)
    return cast("Callable[P, R]", made)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A piece of a compiled function, put where it is called."""
    return cast("Callable[P, R]", numba.njit(inline="always", fastmath=FASTMATH, error_model="numpy")(function))


@intrinsic  # type: ignore[untyped-decorator]
def _float_of_bits(_typing: Any, _bits: Any) -> Any:  # noqa: ANN401
    """float32 that has these int32 bits."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        from llvmlite import ir

        return builder.bitcast(arguments[0], ir.FloatType())

    return numba.float32(numba.int32), generate


@intrinsic  # type: ignore[untyped-decorator]
def _floor(_typing: Any, _x: Any) -> Any:  # noqa: ANN401
    """floor of a float32 as float32: Python's own goes through int64, which keeps loops scalar."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        from llvmlite import ir

        return builder.call(builder.module.declare_intrinsic("llvm.floor", (ir.FloatType(),)), [arguments[0]])

    return numba.float32(numba.float32), generate


@inlined
def exp32(x: np.float32) -> np.float32:
    """e^x in float32 to about one unit in the last place; beyond +-87 the ends; NaN stays NaN.

    x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite's two-part ln 2), e^r by a polynomial of degree 6
    (Cephes), times 2^n through the exponent's bits: straight-line code, which the compiler vectorises.
    """
    x = np.float32(87.0) if x > np.float32(87.0) else x
    x = np.float32(-87.0) if x < np.float32(-87.0) else x
    n = _floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375)
    r = r + n * np.float32(2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * r + np.float32(1.3981999507e-3)
    y = y * r + np.float32(8.3334519073e-3)
    y = y * r + np.float32(4.1665795894e-2)
    y = y * r + np.float32(1.6666665459e-1)
    y = y * r + np.float32(5.0000001201e-1)
    y = y * r * r + r + np.float32(1.0)
    scaled: np.float32 = y * _float_of_bits(np.int32((np.int32(n) + np.int32(127)) << np.int32(23)))
    return scaled
