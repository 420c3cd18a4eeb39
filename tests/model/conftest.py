"""These models are far too small to share between threads, and the machine may be busy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# The same examples every time, and no deadline: how long one takes says nothing on a shared machine.
settings.register_profile("model", derandomize=True, deadline=None)
settings.load_profile("model")


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread() -> Iterator[None]:
    """One thread while models are tested, then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
