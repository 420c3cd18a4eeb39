"""RSP as logits: rows of vLLM's batch in, each row's next codes with their scores out.

Both of vLLM's logits processor interfaces use it.  A row's token gets log s (+ mix * log p) where its code is among
the top lambda by IAP and leads to an item, and -inf everywhere else, so that a sum over levels is RankGR's score.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vllm.config import VllmConfig

from contracts.errors import EngineFailed, RankGRError
from model.decoding.beams import Beams
from model.decoding.pairs import Part
from model.decoding.stages import Job
from model.network.rank_head import Keys
from model.semantic_id.catalog import Int64s
from services.engine.vllm_plugin.backbone_model import Step, rank_layer_name
from services.engine.vllm_plugin.generation_model import RankGRForGeneration
from services.engine.vllm_plugin.names import EXTRA, PROMPT_TOKENS
from services.engine.vllm_plugin.packed_answer import request_of
from services.engine.vllm_plugin.worker_bundle import read_worker_bundle

# Shapes: N rows of a step, B rows of one prompt, P pairs, D hidden size, R heads of the rank head, E width of each.


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One row: its tokens int64 so far, how many of them are the prompt (None: up to the marker), its wishes."""

    tokens: Int64s
    prompt_tokens: int | None
    wishes: Mapping[str, Any]
    wishes_key: str

    @classmethod
    def of(cls, tokens: Int64s, extra_args: Mapping[str, Any] | None) -> Asked:
        """From a request's tokens and SamplingParams.extra_args."""
        wishes = dict((extra_args or {}).get(EXTRA) or {})
        length = wishes.pop(PROMPT_TOKENS, None)
        return cls(tokens, length, wishes, repr(sorted(wishes.items())))


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a row stands: its prompt's length and the node of `level` - 1 that its codes lead to."""

    row: int
    length: int
    level: int
    node: int


class RspRows:
    """The scores of rows; finds the model through vLLM's configuration once it is loaded."""

    def __init__(self, vllm_config: VllmConfig) -> None:
        bundle = read_worker_bundle(Path(vllm_config.model_config.model))
        if bundle.config.decode.lambda_scope == "request":
            raise ValueError("lambda_scope request needs all beams of a user in one step: use the pooled decoding")
        self._config = bundle.config
        self._layers = vllm_config.compilation_config.static_forward_context
        self._marker = bundle.config.rankgr.special_tokens["marker"]

    def apply(self, logits: Tensor, rows: Sequence[Asked | None]) -> Tensor:
        """logits float32 [N, vocabulary] with the scores of each row in place of them.

        None and rows whose prompt is not read to its end keep theirs: no token is taken from them.  NaN: the model's
        states or the request are of no use.
        """
        model = self._model()
        step = model.step
        if step is None or model.asked is None:
            return logits
        states_ND = model.asked[: len(logits)]
        metadata = next(iter(step.attention.values()))
        seen = metadata.seq_lens[: len(logits)].tolist()
        groups: dict[tuple[int, str, bytes], list[Place]] = defaultdict(list)
        for row, asked in enumerate(rows):
            if asked is None or len(asked.tokens) != seen[row]:
                continue
            logits[row] = -torch.inf
            place = self._place(model, row, asked)
            if place is None:
                logits[row] = torch.nan
            elif place.node >= 0 and place.level > len(self._config.levels):
                # A whole semantic id: nothing may follow but the end.
                logits[row, self._marker] = 0.0
            elif place.node >= 0:
                prompt = asked.tokens[: place.length].tobytes()
                groups[(place.level, asked.wishes_key, prompt)].append(place)
        with torch.inference_mode():
            for (level, _, _), places in groups.items():
                self._score(model, step, (level, places), rows, (states_ND, logits))
        return logits

    def _model(self) -> RankGRForGeneration:
        (model,) = self._layers[rank_layer_name(self._config.num_hidden_layers)].model
        if not isinstance(model, RankGRForGeneration):
            raise RuntimeError("the RSP logits processor works beside RankGRForGeneration alone")
        return model

    def _place(self, model: RankGRForGeneration, row: int, asked: Asked) -> Place | None:
        """None where nothing tells the prompt from the codes; node -1 where its codes lead to no item."""
        length = asked.prompt_tokens
        if length is None:
            markers = np.flatnonzero(asked.tokens == self._marker)
            if not len(markers):
                return None
            length = int(markers[-1]) + 1
        trie, node = model.stages.trie, 0
        fed = asked.tokens[length:].tolist()
        for level, token in enumerate(fed[: len(self._config.levels)]):
            code = token - self._config.levels[level].token_offset
            children = trie.children(level, node)
            at = int(np.searchsorted(children, code))
            if at == len(children) or int(children[at]) != code:
                return Place(row, length, level + 2, -1)
            node = int(trie.child_start[level][node]) + at
        return Place(row, length, len(fed) + 1, node)

    def _score(
        self,
        model: RankGRForGeneration,
        step: Step,
        where: tuple[int, Sequence[Place]],
        rows: Sequence[Asked | None],
        tensors: tuple[Tensor, Tensor],
    ) -> None:
        """Write the scores of the rows of one prompt, all at one level."""
        level, places = where
        states_ND, logits = tensors
        at_B = torch.tensor([place.row for place in places], device=logits.device)
        answer = self._scored(model, step, where, rows, states_ND[at_B])
        if isinstance(answer, RankGRError):
            logits[at_B] = torch.nan
            return
        row_P, code_P, score_P = answer
        logits[at_B[row_P], self._config.levels[level - 1].token_offset + code_P] = score_P.float()

    def _scored(
        self,
        model: RankGRForGeneration,
        step: Step,
        where: tuple[int, Sequence[Place]],
        rows: Sequence[Asked | None],
        state_BD: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor] | RankGRError:
        level, places = where
        first = places[0]
        asked = rows[first.row]
        if asked is None:
            raise ValueError("a row that nobody asked for has no scores")
        prompt = asked.tokens[: first.length]
        job = model.stages.accept(request_of(prompt, asked.wishes))
        if not isinstance(job, Job):
            return job
        cache = model.cache
        shared = cache.shared_keys(cache.blocks_of(step.attention, first.row, first.length), prompt)
        if not shared.usable or not bool(torch.isfinite(state_BD).all()):
            return EngineFailed("the model's states of this prompt are not finite")
        node_B = torch.tensor([place.node for place in places], device=state_BD.device)
        beams = replace(
            _started(node_B, level),
            own=self._own_keys(model, step, where, state_BD),
        )
        table = model.stages.table(level, shared.keys)
        part = Part(job.plan, beams, state_BD, table, job.removed.dead[level - 1], -torch.inf)
        (scored,) = model.stages.pairs(level, [part])
        if isinstance(scored, EngineFailed):
            return scored
        code_P = torch.from_numpy(model.stages.trie.code[level - 1]).to(scored.node.device)[scored.node].long()
        return scored.row, code_P, scored.score

    def _own_keys(
        self, model: RankGRForGeneration, step: Step, where: tuple[int, Sequence[Place]], state_BD: Tensor
    ) -> Keys | None:
        """Keys [B, level - 1, R, E] of the states at each row's own codes: older ones from the cache, the last anew."""
        level, places = where
        if level == 1:
            return None
        newest = model.rank_head.project(state_BD)
        older: list[Keys] = []
        for fed in range(level - 2):
            position = places[0].length + fed
            block, inside = divmod(position, model.cache.block_tokens)
            blocks = [model.cache.blocks_of(step.attention, place.row, position + 1)[block] for place in places]
            older.append(model.rank_keys.read_at(torch.stack(blocks), torch.full_like(torch.stack(blocks), inside)))
        return Keys(
            torch.stack([*(keys.key for keys in older), newest.key], 1),
            torch.stack([*(keys.value for keys in older), newest.value], 1),
        )


def _started(node_B: Tensor, level: int) -> Beams:
    """Beams that stand at these nodes of `level` - 1 with a score of 0: vLLM adds up the levels."""
    none_BL = torch.zeros(len(node_B), level - 1, dtype=torch.float64, device=node_B.device)
    zero_B = torch.zeros(len(node_B), dtype=torch.float64, device=node_B.device)
    return Beams(node_B, node_B, zero_B, none_BL, none_BL, (), (), None)
