"""`rankgr serve`: one process of the stack, told by its environment (docs/settings.md)."""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer


class Process(StrEnum):
    """Processes that can run alone."""

    TRIGGER = "trigger"
    HISTORY = "history"
    PRECOMPUTE = "precompute"
    ENGINE = "engine"
    RETRIEVAL = "retrieval"


def serve(process: Annotated[Process, typer.Argument(help="Which process.")]) -> None:
    """Run one process of the stack; RANKGR_* variables tell it where everything is."""
    # Imported by name: retrieval must not pay for torch, nor a typo in one process stop another.
    import_module(f"services.{process.value}.main").main()
