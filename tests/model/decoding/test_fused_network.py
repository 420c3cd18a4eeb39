"""The network in fused form against the network itself."""

from __future__ import annotations

import numpy as np
import pytest

from model.decoding.fused_network import FusedNetwork
from model.decoding.request import DecodeResult
from model.decoding.two_stage import TwoStageDecoder

from .small_worlds import World, requests_of


@pytest.mark.parametrize("backend", [None, "eager"])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_lists_are_those_of_the_plain_network(kv_heads: int, backend: str | None) -> None:
    world = World(kv_heads=kv_heads, sizes=(4, 5, 6), items=60)
    config, network, catalog = world.config(), world.network(), world.catalog()
    requests = requests_of(config, catalog)
    plain = TwoStageDecoder(network, catalog)(requests)
    fused = TwoStageDecoder(FusedNetwork(network, backend=backend), catalog)(requests)
    for found, expected in zip(fused, plain, strict=True):
        assert isinstance(found, DecodeResult)
        assert isinstance(expected, DecodeResult)
        assert found.item_id.tolist() == expected.item_id.tolist()
        np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=1e-6)
