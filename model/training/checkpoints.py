"""Checkpoints below a directory: each written whole beside its place and renamed; then the one before goes.

`RunDirectory` and the incremental trainer keep theirs so.  Knows nothing of what the files mean.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

Tensors = dict[str, Tensor]


def save_checkpoint(directory: Path, number: int, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into an empty directory, make it checkpoint `number`, then drop all others.

    A higher number is a newer one.  Raises OSError; what was there is then still there.
    """
    name = f"checkpoint-{number:08d}"
    partial = directory / f".{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        fill(partial)
        before = checkpoints_in(directory)
        shutil.rmtree(directory / name, ignore_errors=True)
        os.replace(partial, directory / name)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, SafetensorError):
            # How safetensors says that the disk refuses.
            raise OSError(f"cannot write {directory / name}: {error}") from error
        raise
    for old in before:
        if old.name != name:
            shutil.rmtree(old, ignore_errors=True)


def checkpoints_in(directory: Path) -> list[Path]:
    """Oldest first; more than one where a kill came between a rename and what follows it."""
    return sorted(directory.glob("checkpoint-*"))


def newest_checkpoint(directory: Path) -> Path | None:
    """The last one."""
    found = checkpoints_in(directory)
    return found[-1] if found else None


def sweep_checkpoints(directory: Path) -> None:
    """Remove what a kill left half-written."""
    for partial in directory.glob(".checkpoint-*.partial"):
        shutil.rmtree(partial, ignore_errors=True)


def save_tensors(tensors: Tensors, path: Path) -> None:
    """As a safetensors file."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
