"""kafka-python leaves the socket of a connection that was refused to the garbage collector, which warns of it."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture
def sockets_left_behind() -> Iterator[None]:
    """For tests in which a broker is not there: what kafka-python left is collected without a word."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed", ResourceWarning)
        yield
        gc.collect()
