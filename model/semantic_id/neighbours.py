"""What training rows say of pairs of items: for each item those that were bought, clicked or shown with or after it.

`model/build` counts them, `neighbours.safetensors` of a bundle holds them, `model/decoding` orders lists by them.
Items go by their ids, so that a catalogue that changes leaves the file as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from contracts.errors import BadBundle
from model.semantic_id.catalog import Float32s, Int64s

# Shapes: F items that have neighbours, P pairs.


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """from_item int64 [F], sorted and distinct; start int64 [F + 1]; to_item int64 [P]; says float32 [P], above 0.

    The neighbours of from_item[f] are to_item[start[f] ..< start[f + 1]]; an item is none of its own.
    Raises ValueError when the parts disagree.
    """

    from_item: Int64s
    start: Int64s
    to_item: Int64s
    says: Float32s

    def __post_init__(self) -> None:
        if len(self.start) != len(self.from_item) + 1 or len(self.says) != len(self.to_item):
            raise ValueError("from_item and start, to_item and says must be of one length each")
        if self.start[0] != 0 or self.start[-1] != len(self.to_item) or np.any(np.diff(self.start) < 0):
            raise ValueError("start must rise from 0 to the number of pairs")
        if np.any(np.diff(self.from_item) <= 0):
            raise ValueError("from_item must be sorted and distinct")
        if not np.all(np.isfinite(self.says) & (self.says > 0)):
            raise ValueError("says must be finite and above 0")

    def write(self, path: Path) -> None:
        """Write them as a safetensors file."""
        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in _KINDS}, path)

    @classmethod
    def read(cls, path: Path) -> Neighbours:
        """Read what `write` wrote.  Raises BadBundle, in one line, for anything that is no such file."""
        try:
            arrays = load_file(path)
        except (OSError, SafetensorError) as error:
            raise BadBundle(f"{path.name} is no safetensors file: {error}") from error
        for name, kind in _KINDS.items():
            if name not in arrays or arrays[name].ndim != 1 or arrays[name].dtype != kind:
                raise BadBundle(f"{path.name}: {name} must be there, {kind.__name__} and of one dimension")
        try:
            return cls(**{name: arrays[name] for name in _KINDS})
        except ValueError as error:
            raise BadBundle(f"{path.name}: {error}") from error


_KINDS = {"from_item": np.int64, "start": np.int64, "to_item": np.int64, "says": np.float32}
