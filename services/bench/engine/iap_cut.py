"""Which codes of the first level stand at IAP's cut: a tie there moves a whole prefix into a list or out of it.

Asked only where lists differ.  Everything is computed in float64, so that it takes no host's side.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from model.bundle.read import read_bundle
from model.network.network import RankGRNetwork
from model.semantic_id.catalog import Int64s
from services.bench.engine.lists import SCORE_TOLERANCE
from services.bench.engine.terms import Terms


@dataclass(slots=True, eq=False)
class IapCut:
    """Reads the run's bundle when it is first asked."""

    terms: Terms
    _network: RankGRNetwork | None = field(default=None, init=False)
    _roots: Int64s = field(init=False)

    @torch.inference_mode()
    def tied(self, tokens: Int64s, most: int) -> frozenset[int]:
        """First codes of these tokens' user whose logit is that of the `most`-th best within rounding; none if all fit.

        A logit is a sum of products, so that rounding goes with the largest of them.
        """
        network = self._read()
        states_TD = network(torch.from_numpy(tokens)[None], torch.arange(len(tokens))[None], None)[0]
        logit_V = network.level_logits(states_TD[-1], 1).numpy()
        starts = self._roots
        if len(starts) <= most:
            return frozenset()
        cut = np.sort(logit_V[starts])[-most]
        near = np.abs(logit_V[starts] - cut) <= SCORE_TOLERANCE * max(1.0, float(np.abs(logit_V).max()))
        return frozenset(starts[near].tolist())

    def _read(self) -> RankGRNetwork:
        if self._network is None:
            bundle = read_bundle(self.terms.bundle)
            self._network = bundle.network().double()
            self._roots = np.unique(bundle.catalog.codes[:, 0]).astype(np.int64)
        return self._network
