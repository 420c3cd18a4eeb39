"""An engine process as `rankgr serve engine` runs it, around a model that breaks on three tokens.

    python faulty_engine.py        settings come from RANKGR_* as always

`hour:1` has no finite state, `hour:2` makes the network raise, `hour:3` makes it raise from then on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.bundle.read import Bundle, read_bundle
from model.network.network import RankGRNetwork
from services.engine.main import run
from services.engine.settings import EngineSettings
from services.runtime.settings import read_settings

NOT_FINITE, RAISES, KILLS = "hour:1", "hour:2", "hour:3"
# How the two tokens are known by their embeddings: what no training arrives at, exact in every number format.
RAISING, KILLING = 2.0**100, 2.0**101


class FaultyDevice:
    """Stands before the first layer, as an accelerator does that fails on what it is given.

    There, and not before the embedding: whatever form of the network decodes, its layers' norms are these modules.
    """

    def __init__(self) -> None:
        self._dead = False

    def __call__(self, _module: nn.Module, given: tuple[Tensor, ...]) -> None:
        first = given[0][..., 0]
        self._dead = self._dead or bool((first == KILLING).any())
        if self._dead or bool((first == RAISING).any()):
            raise RuntimeError("an illegal memory access was encountered")


@dataclass(frozen=True, slots=True)
class FaultyBundle(Bundle):
    """A bundle whose networks are broken in these ways."""

    def network(self) -> RankGRNetwork:
        token_of = self.prompt_format.special_tokens
        # Not super(): a dataclass with slots is another class than the one that this method was written in.
        network = Bundle.network(self)
        with torch.no_grad():
            embedding = network.model.embed_tokens.weight
            embedding[token_of[NOT_FINITE]] = torch.nan
            embedding[token_of[RAISES], 0] = RAISING
            embedding[token_of[KILLS], 0] = KILLING
        network.stack()[0].input_layernorm.register_forward_pre_hook(FaultyDevice())
        return network


def main() -> None:
    """Serve until told to stop."""
    settings = read_settings(EngineSettings)
    assert settings.bundle is not None
    good = read_bundle(settings.bundle)
    fields = {name: getattr(good, name) for name in Bundle.__dataclass_fields__}
    run(settings, FaultyBundle(**fields))


if __name__ == "__main__":
    main()
