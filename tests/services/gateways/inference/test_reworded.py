"""During an update each engine is asked in the words of its own catalogue, or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from contracts.errors import CatalogMismatch
from contracts.ids import UserId
from services.gateways.inference.port import EngineAnswer, EngineRequest
from services.gateways.inference.reworded import RewordedInferenceEngine

WORDS = {"old": (1, 2), "new": (3, 4)}


def request(catalog: str, known: tuple[str, ...] = ("old", "new")) -> EngineRequest:
    def reworded(other: str) -> EngineRequest | None:
        return replace(asked, tokens=WORDS[other], catalog_version=other) if other in known else None

    asked = EngineRequest(UserId("u"), WORDS[catalog], catalog_version=catalog, reworded=reworded)
    return asked


@dataclass
class SwappingEngine:
    """Answers only what was made for the catalogue that it serves."""

    serves: str
    asked: list[tuple[str | None, tuple[int, ...]]] = field(default_factory=list)
    tells: bool = True

    async def recommend(self, request: EngineRequest) -> EngineAnswer:
        self.asked.append((request.catalog_version, request.tokens))
        if request.catalog_version != self.serves:
            error = CatalogMismatch(str(request.catalog_version), self.serves)
            error.served = self.serves if self.tells else None
            raise error
        return EngineAnswer("m", self.serves, ())

    async def ping(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing to free."""


async def test_only_the_first_request_after_a_swap_is_asked_twice() -> None:
    engine = SwappingEngine("old")
    asked = RewordedInferenceEngine(engine)
    assert (await asked.recommend(request("old"))).catalog_version == "old"
    engine.serves = "new"
    for _ in range(3):
        assert (await asked.recommend(request("old"))).catalog_version == "new"
    assert engine.asked == [("old", (1, 2)), ("old", (1, 2)), *[("new", (3, 4))] * 3]
    # And back again, and with prompts that are made for the new one at once.
    engine.serves = "old"
    assert (await asked.recommend(request("new"))).catalog_version == "old"
    assert engine.asked[-2:] == [("new", (3, 4)), ("old", (1, 2))]


@pytest.mark.parametrize(("known", "tells"), [((), True), (("old", "new"), False)])
async def test_what_cannot_be_put_in_its_words_is_refused(known: tuple[str, ...], tells: bool) -> None:
    asked = RewordedInferenceEngine(SwappingEngine("new", tells=tells))
    for _ in range(2):
        with pytest.raises(CatalogMismatch):
            await asked.recommend(request("old", known))


async def test_a_request_for_no_catalogue_in_particular_goes_as_it_is() -> None:
    engine = SwappingEngine("old")
    engine.serves = "new"
    with pytest.raises(CatalogMismatch):
        await RewordedInferenceEngine(engine).recommend(EngineRequest(UserId("u"), (1,)))
    assert engine.asked == [(None, (1,))]
