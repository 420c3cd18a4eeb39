"""What came of a prompt, as arrays: the verb returns it, the api writes it down, metrics count it."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.candidate_set import Candidate
from contracts.errors import RankGRError
from contracts.ids import ItemId
from model.decoding.request import DecodeResult
from services.gateways.inference.port import EngineAnswer


@dataclass(frozen=True, slots=True, eq=False)
class Recommendation:
    """A list from exactly one model and one catalogue; `timings_ms` holds the time in the queue too."""

    model_version: str
    catalog_version: str
    result: DecodeResult
    timings_ms: dict[str, float]
    counts: dict[str, int]

    def answer(self) -> EngineAnswer:
        """The same for a caller in this process, without the levels' scores."""
        columns = (self.result.item_id.tolist(), self.result.score.tolist(), self.result.codes.tolist())
        items = tuple(Candidate(ItemId(item), score, tuple(codes)) for item, score, codes in zip(*columns, strict=True))
        return EngineAnswer(self.model_version, self.catalog_version, items, self.timings_ms, self.counts)


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The caller left before there was an answer."""


EngineOutcome = Recommendation | RankGRError | Abandoned
