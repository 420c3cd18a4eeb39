"""What a training keeps, and that it gives it back."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: allocators remember.
SCRIPT = """
import os
import numpy as np
from model.training.kept_memory import freed_memory_kept

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

before = resident_mb()
with freed_memory_kept():
    large = np.ones(64 * 2**20, np.uint8)
    del large
    inside = resident_mb() - before
print(round(inside), round(resident_mb() - before))
"""


def test_what_is_freed_stays_inside_the_block_and_goes_back_behind_it() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True)
    inside, after = map(int, run.stdout.split())
    assert inside >= 60
    assert after <= 20
