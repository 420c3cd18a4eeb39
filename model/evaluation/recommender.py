"""What evaluation asks of a method, and the two that need no training of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RankGRError
from model.data.timelines import HeldOut
from model.decoding.request import DecodeRequest
from model.decoding.two_stage import TwoStageDecoder
from model.prompt import PromptContext, PromptFormat, prompt_from_history
from model.semantic_id.catalog import Catalog


class Recommender(Protocol):
    """Ranks the catalogue for held-out users; nothing is filtered."""

    def __call__(self, users: Sequence[HeldOut]) -> list[Ranking]:
        """One ranking per user, best first."""
        ...


@dataclass(frozen=True, slots=True)
class Ranking:
    """Distinct item ids, best first, with their scores: item_R int64, score_R float32."""

    item_R: NDArray[np.int64]
    score_R: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Popularity:
    """The same list for everybody: the catalogue by popularity in the training rows, ties to the lower id."""

    catalog: Catalog

    def __call__(self, users: Sequence[HeldOut]) -> list[Ranking]:
        """One list, once per user."""
        order_N = np.lexsort((self.catalog.item_id, -self.catalog.popularity))
        ranking = Ranking(self.catalog.item_id[order_N], self.catalog.popularity[order_N])
        return [ranking] * len(users)


@dataclass(frozen=True, slots=True)
class Generative:
    """RankGR itself: prompt, two-stage decoding, the items of the SIDs found."""

    decoder: TwoStageDecoder
    prompt_format: PromptFormat
    catalog: Catalog
    beams: tuple[int, ...] | None = None
    lambdas: tuple[int, ...] | None = None
    iap_mix: float | None = None

    def __call__(self, users: Sequence[HeldOut]) -> list[Ranking]:
        """Decoded together; a user whose request is refused fails the evaluation with the decoder's error."""
        rankings = []
        for result in self.decoder([self._request(user) for user in users]):
            if isinstance(result, RankGRError):
                raise result
            rankings.append(Ranking(result.item_id, result.score))
        return rankings

    def _request(self, user: HeldOut) -> DecodeRequest:
        of = user.circumstances
        context = PromptContext.at(of.timestamp_ms, of.scene, of.device)
        prompt = prompt_from_history(self.prompt_format, self.catalog, user.items, user.levels, context)
        return DecodeRequest(tokens=prompt.tokens, beams=self.beams, lambdas=self.lambdas, iap_mix=self.iap_mix)
