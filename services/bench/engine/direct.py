"""The search in its naive form: whole forward passes, and every (beam, code) pair attends to every key.

It is measured as `naive_rsp`, and what it lists is what the fast hosts are held against: it shares nothing with
them but the network's defining functions (`forward`, `level_logits`, `score_logits`) and the trie.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.network.network import RankGRNetwork
from model.semantic_id.catalog import Int64s
from model.semantic_id.trie import Trie
from services.bench.engine.lists import Listed

# Shapes: B beams, T prompt tokens, J codes fed so far, P pairs of a level, V codes, D hidden size.

Normaliser = Literal["vocabulary", "allowed"]
"""What log p sums to one over, in a plain beam search: all tokens, or those the trie allows."""


@dataclass(frozen=True, slots=True, eq=False)
class _Prefixes:
    """Kept prefixes in SID order: node int64 [B] of the trie's level, codes int64 [B, J], score float64 [B]."""

    node: Tensor
    codes: Tensor
    score: Tensor


@dataclass(slots=True, eq=False)
class DirectSearch:
    """One user at a time.  `most_beams` bounds the beams whose pairs are scored; None: all, a complete list."""

    network: RankGRNetwork
    trie: Trie
    most_beams: int | None = None
    clock_s: Callable[[], float] = time.perf_counter

    @torch.inference_mode()
    def two_stage(
        self, tokens: Int64s, beams: tuple[int, ...], lambdas: tuple[int, ...]
    ) -> tuple[Listed | None, dict[str, float]]:
        """The final list (None where only some beams were scored) and the stages' milliseconds.

        The last level's time is scaled up where only some beams were scored.
        """
        stages: dict[str, float] = {}
        kept, scored_all = self._root(), True
        for level in range(1, self.trie.levels + 1):
            started = self.clock_s()
            prompt_TD, own_BJD = self._states(tokens, kept)
            self._wait()
            if level == 1:
                stages["prefill"] = (self.clock_s() - started) * 1e3
                started = self.clock_s()
            fed_s = self.clock_s() - started
            scored = min(len(kept.node), self.most_beams or len(kept.node))
            found = [self._scored(level, kept, beam, (prompt_TD, own_BJD), lambdas) for beam in range(scored)]
            grown = self._best(kept, found, beams[level - 1])
            self._wait()
            whole_s = self.clock_s() - started
            stages[f"level{level}"] = (fed_s + (whole_s - fed_s) * len(kept.node) / max(1, scored)) * 1e3
            scored_all = scored_all and scored == len(kept.node)
            kept = grown
        return self._listed(kept) if scored_all else None, stages

    @torch.inference_mode()
    def plain_beams(self, tokens: Int64s, width: int, normaliser: Normaliser) -> Listed:
        """IAP alone: the `width` best prefixes by summed log p, at every level."""
        kept = self._root()
        for level in range(1, self.trie.levels + 1):
            prompt_TD, own_BJD = self._states(tokens, kept)
            found: list[tuple[Tensor, Tensor]] = []
            for beam in range(len(kept.node)):
                node, code = self._children(level, kept, beam)
                state_D = prompt_TD[-1] if level == 1 else own_BJD[beam, -1]
                part = self.network.config.levels[level - 1]
                logit = functional.linear(state_D, self.network.model.embed_tokens.weight).double()
                logit_P = logit[part.token_offset + code]
                over = logit if normaliser == "vocabulary" else logit_P
                found.append((node, logit_P - torch.logsumexp(over, -1)))
            kept = self._best(kept, found, width)
        return self._listed(kept)

    def _root(self) -> _Prefixes:
        device = self.network.device
        zero = torch.zeros(1, dtype=torch.int64, device=device)
        return _Prefixes(zero, zero.new_empty(1, 0), zero.double())

    def _states(self, tokens: Int64s, kept: _Prefixes) -> tuple[Tensor, Tensor]:
        """The prompt's states [T, D] and those of each beam's codes [B, J, D], in one pass over all of them."""
        length, (beams, fed) = len(tokens), kept.codes.shape
        device = self.network.device
        offsets = torch.tensor([part.token_offset for part in self.network.config.levels[:fed]], device=device)
        codes_N = (kept.codes + offsets.long()).reshape(-1)
        row = torch.cat((torch.from_numpy(tokens).to(device), codes_N))
        position = torch.cat((torch.arange(length), length + torch.arange(fed).repeat(beams))).to(device)
        mask = None
        if fed:
            # A code sees the prompt and its own beam's codes up to itself.
            owner = torch.cat((torch.full((length,), -1), torch.arange(beams).repeat_interleave(fed))).to(device)
            causal = position.unsqueeze(0) <= position.unsqueeze(1)
            mask = (causal & ((owner == -1) | (owner == owner.unsqueeze(1))))[None, None]
        states = self.network(row[None], position[None], mask)[0]
        return states[:length], states[length:].unflatten(0, (beams, fed)) if fed else states[:0].unsqueeze(0)

    def _children(self, level: int, kept: _Prefixes, beam: int) -> tuple[Tensor, Tensor]:
        """Nodes and codes below one beam, ascending."""
        start = self.trie.child_start[level - 1]
        node = int(kept.node[beam])
        below = slice(int(start[node]), int(start[node + 1]))
        code = torch.from_numpy(self.trie.code[level - 1][below].astype(np.int64))
        return torch.arange(below.start, below.stop, device=self.network.device), code.to(self.network.device)

    def _scored(
        self, level: int, kept: _Prefixes, beam: int, states: tuple[Tensor, Tensor], lambdas: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Nodes [P], ascending, and log s [P] of one beam's best codes by IAP."""
        prompt_TD, own_BJD = states
        keys_UD = prompt_TD if level == 1 else torch.cat((prompt_TD, own_BJD[beam]))
        node, code = self._children(level, kept, beam)
        logit_P = self.network.level_logits(keys_UD[-1], level)[code]
        # Among equals the lower code: the sort is stable and codes ascend.
        best = torch.argsort(logit_P, descending=True, stable=True)[: lambdas[level - 1]].sort().values
        emb_PD = self.network.code_embeddings(level)[code[best]]
        return node[best], functional.logsigmoid(self.network.rank_head.score_logits(emb_PD, keys_UD).double())

    def _best(self, kept: _Prefixes, found: list[tuple[Tensor, Tensor]], most: int) -> _Prefixes:
        """The best extensions, in SID order again; scores compare as stored, in float32, and ties go to the lower."""
        rows = torch.repeat_interleave(torch.tensor([len(node) for node, _ in found])).to(kept.node.device)
        node_P = torch.cat([node for node, _ in found])
        score_P = kept.score[rows] + torch.cat([gain for _, gain in found])
        best = torch.argsort(score_P.float(), descending=True, stable=True)[:most].sort().values
        level = kept.codes.shape[1]
        code_W = torch.from_numpy(self.trie.code[level].astype(np.int64)).to(node_P.device)
        codes = torch.cat((kept.codes[rows[best]], code_W[node_P[best]].unsqueeze(1)), 1)
        return _Prefixes(node_P[best], codes, score_P[best])

    def _listed(self, kept: _Prefixes) -> Listed:
        order = torch.argsort(kept.score.float(), descending=True, stable=True)
        return Listed(kept.codes[order].to(torch.int32).cpu().numpy(), kept.score[order].cpu().numpy())

    def _wait(self) -> None:
        if self.network.device.type == "cuda":
            torch.cuda.synchronize()
