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
    _known: tuple[RankGRNetwork, Int64s] | None = field(default=None, init=False)

    @torch.inference_mode()
    def tied(self, tokens: Int64s, most: int) -> frozenset[int]:
        """First codes of these tokens' user whose logit is that of the `most`-th best within rounding; none if all fit.

        A logit is a sum of products, so that rounding goes with the largest of them.
        """
        network, starts = self._read()
        if len(starts) <= most:
            return frozenset()
        states_TD = network(torch.from_numpy(tokens)[None], torch.arange(len(tokens))[None], None)[0]
        logit_V = network.level_logits(states_TD[-1], 1).numpy()
        cut = np.sort(logit_V[starts])[-most]
        near = np.abs(logit_V[starts] - cut) <= SCORE_TOLERANCE * max(1.0, float(np.abs(logit_V).max()))
        return frozenset(starts[near].tolist())

    def _read(self) -> tuple[RankGRNetwork, Int64s]:
        """The network in float64, and the first codes that lead to an item."""
        if self._known is None:
            bundle = read_bundle(self.terms.bundle)
            self._known = bundle.network().double(), np.unique(bundle.catalog.codes[:, 0]).astype(np.int64)
        return self._known
