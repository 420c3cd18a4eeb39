"""`hf_beam_search`: Hugging Face's own `generate` with beam search, held to the same trie."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from transformers import AutoModelForCausalLM, __version__
from transformers.utils import logging

from model.bundle.read import read_bundle
from model.semantic_id.catalog import Int64s
from model.semantic_id.trie import Trie
from services.bench.engine.host import Decoded
from services.bench.engine.lists import Listed
from services.bench.engine.messages import Ask, Start


class HfBeamSearch:
    """One user after the other; what it scores is log p over the whole vocabulary, before the trie."""

    def __init__(self, start: Start) -> None:
        logging.set_verbosity_error()
        bundle = read_bundle(start.bundle)
        self._model = AutoModelForCausalLM.from_pretrained(start.bundle, dtype=getattr(torch, start.dtype))
        self._model.to(start.device).eval()
        self._trie = Trie.of_catalog(bundle.catalog)
        self._offsets = np.array([part.token_offset for part in bundle.config.levels], dtype=np.int64)
        self._pad = bundle.prompt_format.pad

    def about(self) -> dict[str, str]:
        """Versions and settings."""
        return {"transformers": __version__, "torch": torch.__version__, "threads": str(torch.get_num_threads())}

    def decode(self, asked: Ask) -> Decoded:
        """`asked.beams[0]` beams, all of which are returned."""
        return Decoded([self._searched(tokens, asked.beams[0]) for tokens in asked.tokens()])

    @torch.inference_mode()
    def _searched(self, tokens: Int64s, width: int) -> Listed:
        levels = len(self._offsets)
        row = torch.from_numpy(tokens)[None].to(self._model.device)
        out = self._model.generate(
            input_ids=row,
            attention_mask=torch.ones_like(row),
            prefix_allowed_tokens_fn=self._allowed(len(tokens)),
            num_beams=width,
            num_return_sequences=width,
            max_new_tokens=levels,
            do_sample=False,
            # Scores stay the sum of log p.
            length_penalty=0.0,
            eos_token_id=None,
            pad_token_id=self._pad,
            return_dict_in_generate=True,
            output_scores=True,
        )
        codes = out.sequences[:, -levels:].cpu().numpy() - self._offsets
        return Listed(codes.astype(np.int32), out.sequences_scores.double().cpu().numpy())

    def _allowed(self, prompt: int) -> Callable[[int, torch.Tensor], list[int]]:
        """Tokens that may follow a beam: the children of its node."""

        def below(_user: int, row: torch.Tensor) -> list[int]:
            node, level = 0, 0
            for token in row[prompt:].tolist():
                code = token - int(self._offsets[level])
                start = int(self._trie.child_start[level][node])
                node = start + int(np.searchsorted(self._trie.children(level, node), code))
                level += 1
            allowed: list[int] = (self._trie.children(level, node) + self._offsets[level]).tolist()
            return allowed

        return below
