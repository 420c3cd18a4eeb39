"""`rankgr serve`: one process of the stack, told by its environment (docs/settings.md)."""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer

from services.runtime.garbage import look_seldom


class Process(StrEnum):
    """Processes that can run alone."""

    TRIGGER = "trigger"
    HISTORY = "history"
    PRECOMPUTE = "precompute"
    ENGINE = "engine"
    RETRIEVAL = "retrieval"
    SAMPLES = "samples"
    TRAINER = "trainer"
    CONSOLE = "console"


class ModelHost(StrEnum):
    """What runs the engine's model."""

    TORCH = "torch"
    VLLM = "vllm"


class Decoding(StrEnum):
    """How the search runs inside vLLM."""

    POOLED = "pooled"
    LOGITS_PROCESSOR = "logits-processor"


def serve(
    process: Annotated[Process, typer.Argument(help="Which process.")],
    host: Annotated[
        ModelHost | None, typer.Option(help="Engine: what runs the model; default: RANKGR_ENGINE_MODEL_HOST.")
    ] = None,
    decoding: Annotated[
        Decoding | None, typer.Option(help="Engine on vLLM: how it searches; default: RANKGR_ENGINE_DECODING.")
    ] = None,
) -> None:
    """Run one process of the stack; RANKGR_* variables tell it where everything is."""
    given = {name: value.value for name, value in (("model_host", host), ("decoding", decoding)) if value is not None}
    if given and process is not Process.ENGINE:
        raise typer.BadParameter("only the engine has a model", param_hint="--host" if host else "--decoding")
    look_seldom()
    # Imported by name: retrieval must not pay for torch, nor a typo in one process stop another.
    main = import_module(f"services.{process.value}.main").main
    if process is Process.ENGINE:
        main(given)
    else:
        main()
