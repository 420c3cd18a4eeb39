"""The beams of one user between two levels, and the step that feeds their last codes to the backbone.

The decoder steps the beams of all its users together; only the attention looks at one user at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.decoding.decodable import Decodable
from model.decoding.own_attention import attend_shared
from model.decoding.prompt_keys import PromptKeys
from model.network.rank_head import Keys

# Shapes: B beams of one user, N beams of all users, J codes fed so far, D hidden size, K key-value heads,
# E width of a head, R heads of the rank head.


@dataclass(frozen=True, slots=True, eq=False)
class Beams:
    """Kept prefixes.

    node int64 [B] of the trie's level; code int64 [B], the last one; score float64 [B];
    iap, rsp float64 [B, level]: log p and log s so far; keys, values: per layer [B, J, K, E], of the codes
    fed; own: their rank-head keys [B, J, R, E], None before the first is fed.
    """

    node: Tensor
    code: Tensor
    score: Tensor
    iap: Tensor
    rsp: Tensor
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    own: Keys | None

    @classmethod
    def root(cls, device: torch.device) -> Beams:
        """The one empty prefix."""
        zero = torch.zeros(1, dtype=torch.int64, device=device)
        none = torch.zeros(1, 0, dtype=torch.float64, device=device)
        return cls(zero, zero, zero.double(), none, none, (), (), None)

    def __len__(self) -> int:
        return len(self.node)

    def at(self, rows: Tensor) -> Beams:
        """The beams of these rows, in their order."""
        return Beams(
            self.node[rows],
            self.code[rows],
            self.score[rows],
            self.iap[rows],
            self.rsp[rows],
            tuple(key[rows] for key in self.keys),
            tuple(value[rows] for value in self.values),
            None if self.own is None else Keys(self.own.key[rows], self.own.value[rows]),
        )

    @classmethod
    def joined(cls, parts: Sequence[Beams]) -> Beams:
        """The parts end to end; all have been fed as many codes."""
        if len(parts) == 1:
            return parts[0]
        own = [part.own for part in parts if part.own is not None]
        return cls(
            torch.cat([part.node for part in parts]),
            torch.cat([part.code for part in parts]),
            torch.cat([part.score for part in parts]),
            torch.cat([part.iap for part in parts]),
            torch.cat([part.rsp for part in parts]),
            tuple(torch.cat(layer) for layer in zip(*(part.keys for part in parts), strict=True)),
            tuple(torch.cat(layer) for layer in zip(*(part.values for part in parts), strict=True)),
            Keys(torch.cat([keys.key for keys in own]), torch.cat([keys.value for keys in own])) if own else None,
        )


def feed_codes(network: Decodable, level: int, users: Sequence[tuple[PromptKeys, Beams]]) -> list[tuple[Tensor, Beams]]:
    """Feed each beam's code of `level` (1..M-1): per user its states [B, D] and the beams grown by them."""
    sizes = [len(beams) for _, beams in users]
    offset = network.config.levels[level - 1].token_offset
    x_ND = network.embed(torch.cat([beams.code for _, beams in users]) + offset)
    angles = network.angles(
        torch.cat([beams.code.new_full((len(beams),), prompt.length + level - 1) for prompt, beams in users])
    )
    scale = network.config.head_dim**-0.5
    grown: list[list[tuple[Tensor, Tensor]]] = [[] for _ in users]
    for depth, layer in enumerate(network.stack()):
        q_NHE, k_NKE, v_NKE = layer.before_attention(x_ND, angles)
        attended: list[Tensor] = []
        parts = zip(users, *(torch.split(x, sizes) for x in (q_NHE, k_NKE, v_NKE)), strict=True)
        for user, ((prompt, beams), q_BHE, k_BKE, v_BKE) in enumerate(parts):
            own = (
                _grown(beams.keys[depth] if beams.keys else None, k_BKE),
                _grown(beams.values[depth] if beams.values else None, v_BKE),
            )
            grown[user].append(own)
            attended.append(attend_shared(q_BHE, prompt, depth, own, scale))
        x_ND = layer.after_attention(x_ND, torch.cat(attended))
    states = torch.split(network.final_norm(x_ND), sizes)
    return [
        (
            state_BD,
            replace(
                beams,
                keys=tuple(key for key, _ in own),
                values=tuple(value for _, value in own),
                own=_grown_keys(beams.own, network.rank_head.project(state_BD)),
            ),
        )
        for (_, beams), own, state_BD in zip(users, grown, states, strict=True)
    ]


def _grown(before: Tensor | None, new_BKE: Tensor) -> Tensor:
    """[B, J + 1, ..] from [B, J, ..] and the newest [B, ..]."""
    newest = new_BKE.unsqueeze(1)
    return newest if before is None else torch.cat((before, newest), 1)


def _grown_keys(before: Keys | None, new: Keys) -> Keys:
    return Keys(
        _grown(None if before is None else before.key, new.key),
        _grown(None if before is None else before.value, new.value),
    )
