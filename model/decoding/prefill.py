"""Prompts through the backbone: what is known of a prompt's beginning is taken over, only the rest is computed.

The torch host calls it; users of different lengths lie end to end, so that nothing is padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.decoding.decodable import Decodable
from model.decoding.prompt_keys import ContiguousKeys, attend_onwards, rows_of_keys
from model.decoding.request import key_positions
from model.network.rank_head import Keys
from model.semantic_id.catalog import Int64s

# Shapes: N new tokens of all users, S new tokens of one, P tokens taken over, T = P + S, D hidden size, H heads,
# K key-value heads, E width of a head, R heads of the rank head.


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A prompt's tokens int64 [T] and what its positions left behind.

    keys, values: per layer [K, T, E]; rank_keys [T, R, E] of every position; usable: whether all states are finite.
    """

    tokens: Int64s
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    rank_keys: Keys
    usable: bool

    @property
    def nbytes(self) -> int:
        """Memory of the tensors."""
        parts = (*self.keys, *self.values, *self.rank_keys)
        return sum(part.numel() * part.element_size() for part in parts)


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A prompt to compute: its tokens [T], of which the first `known` < T are those of `prompt`."""

    tokens: Int64s
    prompt: Prompt | None = None
    known: int = 0

    @property
    def new(self) -> int:
        """S, at least 1: the last token's state is always computed."""
        return len(self.tokens) - self.known


@dataclass(frozen=True, slots=True, eq=False)
class Prefilled:
    """A prompt that may be kept, and what its beams need of it."""

    prompt: Prompt
    shared: ContiguousKeys


def prefill(network: Decodable, starts: Sequence[Start], tokens_at_once: int) -> list[Prefilled]:
    """One answer per start, in order; passes of about `tokens_at_once` new tokens, at least one user each."""
    done: list[Prefilled] = []
    for together in _passes(starts, tokens_at_once):
        done += _one_pass(network, together)
    return done


def _passes(starts: Sequence[Start], tokens_at_once: int) -> Iterator[Sequence[Start]]:
    first, tokens = 0, 0
    for place, start in enumerate(starts):
        if place > first and tokens + start.new > tokens_at_once:
            yield starts[first:place]
            first, tokens = place, 0
        tokens += start.new
    if first < len(starts):
        yield starts[first:]


def _one_pass(network: Decodable, starts: Sequence[Start]) -> list[Prefilled]:
    device = network.device
    sizes = [start.new for start in starts]
    tokens_N = torch.cat([torch.from_numpy(start.tokens[start.known :]) for start in starts]).to(device)
    positions_N = torch.cat([torch.arange(start.known, len(start.tokens)) for start in starts]).to(device)
    x_ND = network.embed(tokens_N)
    angles = network.angles(positions_N)
    caches: list[list[tuple[Tensor, Tensor]]] = [[] for _ in starts]
    for depth, layer in enumerate(network.stack()):
        q_NHE, k_NKE, v_NKE = layer.before_attention(x_ND, angles)
        attended: list[Tensor] = []
        parts = zip(starts, *(torch.split(x, sizes) for x in (q_NHE, k_NKE, v_NKE)), strict=True)
        for (start, *qkv), cache in zip(parts, caches, strict=True):
            q_SHE, k_KSE, v_KSE = qkv[0], qkv[1].transpose(0, 1), qkv[2].transpose(0, 1)
            attended.append(_attend(start, depth, q_SHE, (k_KSE, v_KSE)))
            cache.append(_grown(start, depth, (k_KSE, v_KSE)))
        x_ND = layer.after_attention(x_ND, torch.cat(attended))
    states = torch.split(network.final_norm(x_ND), sizes)
    return [_prefilled(network, *user) for user in zip(starts, caches, states, strict=True)]


def _attend(start: Start, depth: int, q_SHE: Tensor, own: tuple[Tensor, Tensor]) -> Tensor:
    """Heads' outputs [S, H, E] of the new tokens over what was taken over and over themselves."""
    before = None
    if start.prompt is not None and start.known:
        before = start.prompt.keys[depth][:, : start.known], start.prompt.values[depth][:, : start.known]
    return attend_onwards(q_SHE, own, before)


def _grown(start: Start, depth: int, own: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Keys and values [K, T, E] of the whole prompt."""
    if start.prompt is None or not start.known:
        return own[0].contiguous(), own[1].contiguous()
    before = start.prompt.keys[depth], start.prompt.values[depth]
    key, value = (torch.cat((old[:, : start.known], new), 1) for old, new in zip(before, own, strict=True))
    return key, value


def _prefilled(network: Decodable, start: Start, cache: Sequence[tuple[Tensor, Tensor]], state_SD: Tensor) -> Prefilled:
    keys, values = zip(*cache, strict=True)
    rank_keys = network.rank_head.project(state_SD)
    if start.prompt is not None and start.known:
        before = start.prompt.rank_keys
        rank_keys = Keys(
            torch.cat((before.key[: start.known], rank_keys.key)),
            torch.cat((before.value[: start.known], rank_keys.value)),
        )
    usable = bool(torch.isfinite(state_SD).all())
    at = key_positions(start.tokens, network.config)
    at_U = None if len(at) == len(start.tokens) else torch.from_numpy(at).to(network.device)
    return Prefilled(
        Prompt(start.tokens, keys, values, rank_keys, usable),
        ContiguousKeys(keys, values, state_SD[-1], rows_of_keys(rank_keys, at_U), usable),
    )
