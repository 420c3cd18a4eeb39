"""`naive_rsp`: the search without any sharing; and, in float32, the reference that all other lists are held against."""

from __future__ import annotations

import torch

from model.bundle.read import read_bundle
from model.semantic_id.trie import Trie
from services.bench.engine.direct import DirectSearch, Normaliser
from services.bench.engine.flops import Work, direct_flops
from services.bench.engine.host import Decoded
from services.bench.engine.lists import Listed
from services.bench.engine.messages import Ask, Search, Start

# Above this, a CPU would be busy for minutes: then some beams are computed and the time is scaled up.
MOST_FLOPS_ON_CPU = 1.5e12
NORMALISERS: dict[Search, Normaliser] = {"plain_vocabulary": "vocabulary", "plain_allowed": "allowed"}


class NaiveRsp:
    """One user after the other."""

    def __init__(self, start: Start) -> None:
        bundle = read_bundle(start.bundle)
        network = bundle.network().to(torch.device(start.device), getattr(torch, start.dtype))
        self._search = DirectSearch(network, Trie.of_catalog(bundle.catalog))
        self._config = bundle.config
        self._on_cpu = network.device.type == "cpu"

    def about(self) -> dict[str, str]:
        """Versions and settings."""
        return {"torch": torch.__version__, "threads": str(torch.get_num_threads())}

    def decode(self, asked: Ask) -> Decoded:
        """Whatever `asked.search` names; a plain beam search has one width, the first."""
        lists: list[Listed | None] = []
        stages: dict[str, float] = {}
        for tokens in asked.tokens():
            if asked.search != "two_stage":
                lists.append(self._search.plain_beams(tokens, asked.beams[0], NORMALISERS[asked.search]))
                continue
            self._search.most_beams = self._affordable(Work(len(tokens), asked.beams, asked.lambdas))
            listed, took = self._search.two_stage(tokens, asked.beams, asked.lambdas)
            lists.append(listed)
            stages = {name: stages.get(name, 0.0) + ms for name, ms in took.items()}
        complete = [listed for listed in lists if listed is not None]
        if len(complete) == len(lists):
            return Decoded(complete, stages)
        return Decoded(None, stages, seconds=sum(stages.values()) / 1e3)

    def _affordable(self, work: Work) -> int | None:
        flops = sum(direct_flops(self._config, work).values())
        if not self._on_cpu or flops <= MOST_FLOPS_ON_CPU:
            return None
        return max(1, int(max(work.beams) * MOST_FLOPS_ON_CPU / flops))
