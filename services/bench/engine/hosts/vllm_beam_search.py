"""`vllm_beam_search`: vLLM's own beam search, held to the same trie."""

from __future__ import annotations

from importlib.metadata import version

from model.bundle.prompt_side import read_prompt_side
from services.bench.engine.bundles import backbone_of
from services.bench.engine.host import Decoded
from services.bench.engine.lists import Listed
from services.bench.engine.machine import vllm_version
from services.bench.engine.messages import Ask, Start
from services.bench.engine.shapes import SHAPES
from services.engine.vllm_baseline.beam_search import BaselineOptions, VllmBeamSearch


class VllmBeamSearchHost:
    """One width for all levels, the first; what it scores is log p over the tokens that the trie allows."""

    def __init__(self, start: Start) -> None:
        shape = SHAPES[start.shape]
        fmt = read_prompt_side(start.bundle).prompt_format
        self._search = VllmBeamSearch(
            BaselineOptions(
                backbone=backbone_of(start.bundle, shape),
                bundle=start.bundle,
                dtype=start.dtype,
                threads=start.threads,
                longest=shape.config().max_position_embeddings,
                widest=max(shape.plain_beam_widths),
                token_offsets=fmt.token_offsets,
            )
        )
        self._threads = start.threads

    def about(self) -> dict[str, str]:
        """Versions and settings."""
        return {"vllm": vllm_version(), "torch": version("torch"), "threads": str(self._threads)}

    def decode(self, asked: Ask) -> Decoded:
        """All users in one call."""
        return Decoded([Listed(*found) for found in self._search.search(asked.tokens(), asked.beams[0])])
