"""The beams of one user between two levels, and the step that feeds their last codes to the backbone.

The batched decoder steps all its users' beams together; only the attention looks at one user at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.decoding.blocks import Blocks
from model.decoding.prefill import Prefix
from model.decoding.shared_attention import attend_shared
from model.network.network import RankGRNetwork
from model.network.rank_head import Keys

# Shapes: B beams of one user, N beams of all users, J codes fed so far, D hidden size, K key-value heads,
# E width of a head, R heads of the rank head.


@dataclass(frozen=True, slots=True, eq=False)
class Beams:
    """Kept prefixes, in SID order (node ascending), so that ties anywhere go to the lower SID.

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


def feed_codes(
    network: RankGRNetwork, level: int, users: Sequence[tuple[Prefix, Beams]], blocks: Blocks
) -> list[tuple[Tensor, Beams]]:
    """Feed each beam's code of `level` (1..M-1): per user its states [B, D] and the beams grown by them."""
    backbone = network.model
    sizes = [len(beams) for _, beams in users]
    offset = network.config.levels[level - 1].token_offset
    x_ND = backbone.embed_tokens(torch.cat([beams.code for _, beams in users]) + offset)
    positions_N = torch.cat([beams.code.new_full((len(beams),), prefix.length + level - 1) for prefix, beams in users])
    angles = backbone.rotary.angles(positions_N, x_ND.dtype)
    grown: list[list[tuple[Tensor, Tensor]]] = [[] for _ in users]
    for depth, layer in enumerate(backbone.stack()):
        q_NHE, k_NKE, v_NKE = layer.before_attention(x_ND, angles)
        attended: list[Tensor] = []
        parts = zip(users, *(torch.split(x, sizes) for x in (q_NHE, k_NKE, v_NKE)), strict=True)
        for user, ((prefix, beams), q_BHE, k_BKE, v_BKE) in enumerate(parts):
            own = (
                _grown(beams.keys[depth] if beams.keys else None, k_BKE),
                _grown(beams.values[depth] if beams.values else None, v_BKE),
            )
            grown[user].append(own)
            shared = (prefix.keys[depth], prefix.values[depth])
            attended.append(attend_shared(q_BHE, shared, own, layer.self_attn.head_dim**-0.5, blocks))
        x_ND = layer.after_attention(x_ND, torch.cat(attended))
    states = torch.split(backbone.norm(x_ND), sizes)
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
