"""The prompts' states, computed once per request: keys and values per layer, rank-head keys, and h_1.

The batched decoder calls it first; users of different lengths lie end to end, so that nothing is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.decoding.request import DecodePlan, key_positions
from model.network.network import RankGRNetwork
from model.network.rank_head import Keys

# Shapes: N tokens of all users, T tokens of one, D hidden size, H heads, K key-value heads,
# E width of a head, U keys of the rank head, R its heads.


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """What all beams of one user share.

    keys, values: per layer [K, T, E]; state [D]: h_1, of the prompt's last token; rank_keys [U, R, E] each;
    length T; usable: whether all states are finite.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    state: Tensor
    rank_keys: Keys
    length: int
    usable: bool


def prefill(network: RankGRNetwork, plans: Sequence[DecodePlan]) -> list[Prefix]:
    """One pass over all prompts."""
    backbone, device = network.model, network.device
    lengths = [len(plan.tokens) for plan in plans]
    tokens_N = torch.cat([torch.from_numpy(plan.tokens) for plan in plans]).to(device)
    positions_N = torch.cat([torch.arange(length) for length in lengths]).to(device)
    x_ND = backbone.embed_tokens(tokens_N)
    angles = backbone.rotary.angles(positions_N, x_ND.dtype)
    keys: list[list[Tensor]] = [[] for _ in plans]
    values: list[list[Tensor]] = [[] for _ in plans]
    for layer in backbone.stack():
        q_NHE, k_NKE, v_NKE = layer.before_attention(x_ND, angles)
        attended: list[Tensor] = []
        parts = zip(*(torch.split(x, lengths) for x in (q_NHE, k_NKE, v_NKE)), strict=True)
        for user, (q_THE, k_TKE, v_TKE) in enumerate(parts):
            attended.append(backbone.full_attention(q_THE[None], k_TKE[None], v_TKE[None], None)[0])
            keys[user].append(k_TKE.transpose(0, 1).contiguous())
            values[user].append(v_TKE.transpose(0, 1).contiguous())
        x_ND = layer.after_attention(x_ND, torch.cat(attended))
    states = torch.split(backbone.norm(x_ND), lengths)
    prefixes: list[Prefix] = []
    for user, (plan, state_TD) in enumerate(zip(plans, states, strict=True)):
        at_U = torch.from_numpy(key_positions(plan.tokens, network.config)).to(device)
        prefixes.append(
            Prefix(
                keys=tuple(keys[user]),
                values=tuple(values[user]),
                state=state_TD[-1],
                rank_keys=network.rank_head.project(state_TD[at_U]),
                length=len(state_TD),
                usable=bool(torch.isfinite(state_TD).all()),
            )
        )
    return prefixes
