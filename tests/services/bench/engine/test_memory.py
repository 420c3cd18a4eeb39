"""Peaks of resident memory that start anew when asked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from services.bench.engine.memory import forget_peaks, peak_mb, resident_mb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
LARGE_MB = 64


def test_a_peak_is_seen_and_forgotten() -> None:
    here = os.getpid()
    forget_peaks(here)
    before = peak_mb(here)
    large = bytearray(b"x") * (LARGE_MB * 2**20)
    assert peak_mb(here) >= before + LARGE_MB * 0.9
    del large
    forget_peaks(here)
    assert peak_mb(here) < before + LARGE_MB / 2


def test_children_count() -> None:
    alone = resident_mb(os.getpid())
    code = f"large = bytearray(b'x') * {LARGE_MB * 2**20}; print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert resident_mb(os.getpid()) > alone + LARGE_MB * 0.9
        child.communicate(b"\n")


def test_a_process_that_is_gone_has_none() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    forget_peaks(child.pid)
    assert peak_mb(child.pid) == 0
