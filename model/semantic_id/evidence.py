"""What a report on semantic ids needs besides the catalogue: the items' own vectors, and which items go together.

Made with the ids and kept beside them; a sample of queries, so that it stays small whatever the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from contracts.errors import BadBundle
from model.semantic_id.quantiser import Arrays

# Shapes: N items, D dimensions, Q queries, R related items of all queries together.
Int64s = npt.NDArray[np.int64]
Float16s = npt.NDArray[np.float16]

MOST_QUERIES = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class RelatedItems:
    """query Int64[Q], rising rows; those that go with query q: related[start[q] ..< start[q + 1]], start Int64[Q + 1].

    No item is related to itself, and every query has at least one.
    """

    query: Int64s
    start: Int64s
    related: Int64s

    @classmethod
    def of_counts(cls, counts_NN: sp.csr_matrix, seed: int, most: int = MOST_QUERIES) -> Self:
        """Items that co-occur, for at most `most` queries, drawn by seed.  counts_NN: symmetric, empty diagonal."""
        asked = np.flatnonzero(np.diff(counts_NN.indptr))
        if asked.size > most:
            asked = np.sort(np.random.default_rng(seed).choice(asked, most, replace=False))
        rows = counts_NN[asked]
        rows.sort_indices()
        return cls(asked.astype(np.int64), rows.indptr.astype(np.int64), rows.indices.astype(np.int64))

    def __len__(self) -> int:
        return len(self.query)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """vectors Float16[N, D]: what the quantiser was given.  Relations by where they were seen: train, valid."""

    vectors: Float16s
    relations: dict[str, RelatedItems]

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """State by name: vectors, and NAME.query, NAME.start, NAME.related of every relation."""
        arrays: dict[str, npt.NDArray[np.generic]] = {"vectors": np.ascontiguousarray(self.vectors)}
        for name, items in self.relations.items():
            arrays |= {f"{name}.query": items.query, f"{name}.start": items.start, f"{name}.related": items.related}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Read what `to_arrays` gave.  Raises BadBundle for anything else."""
        try:
            vectors = np.asarray(arrays["vectors"], np.float16)
            if vectors.ndim != 2 or not np.isfinite(vectors).all():
                raise BadBundle("the evidence's vectors must be a finite table")
            names = sorted({name.partition(".")[0] for name in arrays if name != "vectors"})
            relations = {name: _relation(arrays, name, len(vectors)) for name in names}
        except KeyError as error:
            raise BadBundle(f"the evidence of the semantic ids lacks {error.args[0]}") from None
        return cls(vectors, relations)


def _relation(arrays: Arrays, name: str, items: int) -> RelatedItems:
    parts = [np.asarray(arrays[f"{name}.{part}"]) for part in ("query", "start", "related")]
    query, start, related = (part.astype(np.int64) for part in parts)
    fits = len(start) == len(query) + 1 and start[0] == 0 and start[-1] == len(related) and (np.diff(start) > 0).all()
    rows = np.concatenate([query, related])
    if not fits or (rows.size and (rows.min() < 0 or rows.max() >= items)):
        raise BadBundle(f"the evidence's {name} relations do not fit {items} items")
    return RelatedItems(query, start, related)
