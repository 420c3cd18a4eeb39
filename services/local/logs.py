"""How much a local stack says: its processes log to stderr, and by default only what somebody should look at."""

from __future__ import annotations

import os

from services.local.stack import LIGHT
from services.runtime.telemetry import configure_logging


def log_quietly(level: str) -> None:
    """Set the level of this process, and of every child that is not told another by its environment."""
    for name in (*LIGHT, "engine", "precompute"):
        os.environ.setdefault(f"RANKGR_{name.upper()}_LOG_LEVEL", level)
    configure_logging("local", level)
