"""`torch`: our own plain PyTorch host, called as the engine calls it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from contracts.errors import RankGRError
from model.bundle.read import read_bundle
from model.decoding.fused_network import FusedNetwork
from model.decoding.request import DecodeRequest, DecodeResult
from model.decoding.two_stage import TwoStageDecoder
from services.bench.engine.host import Decoded
from services.bench.engine.lists import Listed
from services.bench.engine.messages import Ask, Start

# Room for as many users as come at once, and some who come back.
CACHE_BYTES = 512 * 2**20


class TorchHost:
    """One decoder over the bundle."""

    def __init__(self, start: Start) -> None:
        bundle = read_bundle(start.bundle)
        network = bundle.network().to(torch.device(start.device), getattr(torch, start.dtype))
        fused = FusedNetwork(network, backend="inductor" if start.compile else None)
        self._decoder = TwoStageDecoder(fused, bundle.catalog, neighbours=bundle.neighbours, cache_bytes=CACHE_BYTES)
        self._start = start

    def about(self) -> dict[str, str]:
        """Versions and settings."""
        return {
            "torch": torch.__version__,
            "threads": str(torch.get_num_threads()),
            "dtype": self._start.dtype,
            "compile": str(self._start.compile),
        }

    def decode(self, asked: Ask) -> Decoded:
        """All users as one batch."""
        return decoded_of(self._decoder(requests_of(asked)))


def requests_of(asked: Ask) -> list[DecodeRequest]:
    """One request per user."""
    return [
        DecodeRequest(tokens, beams=asked.beams, lambdas=asked.lambdas, user=user)
        for tokens, user in zip(asked.tokens(), asked.names(), strict=True)
    ]


def decoded_of(answers: Sequence[DecodeResult | RankGRError]) -> Decoded:
    """Lists of a batch, and its stages.  Raises the first request's error that went wrong."""
    lists: list[Listed] = []
    batches: list[dict[str, float]] = []
    counts: Counter[str] = Counter()
    for answer in answers:
        if isinstance(answer, RankGRError):
            raise answer
        lists.append(Listed(answer.codes, answer.score.astype(np.float64)))
        # What users share shows its whole time in each of their answers: once per batch, the same numbers.
        if answer.timings_ms not in batches:
            batches.append(answer.timings_ms)
        counts.update(answer.counts)
    stages = {name: sum(batch.get(name, 0.0) for batch in batches) for name in (batches[0] if batches else {})}
    return Decoded(lists, stages, counts=dict(counts))
