"""The rank head (RSP, arXiv 2602.08575, eqs. 14-15): how well a code continues the sequence so far.

`score_logits` is the direct form that defines it; `code_part` and `merged_logits` are the same arithmetic cut
so that what many candidates or beams have in common is computed once.  It never sees a trie.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.network.attention import AttentionPart, attend
from model.network.config import RankHeadShape

# Shapes: C candidate codes, T keys, J own keys of a beam, D hidden size, R heads, E width of a head,
# F hidden units of the MLP; .. any leading axes.


# Beside the planned part of the first weights the drawn part is small, yet breaks ties between heads and units.
DRAWN_SHARE = 0.1
# How far a code that is quite like what it attends to stands out at first.
SIMILARITY = 1.0


class Keys(NamedTuple):
    """Projected keys and values, [.., T, R, E] each."""

    key: Tensor
    value: Tensor


class CodePart(NamedTuple):
    """A code's share that no beam changes: lse [.., C, R], hidden [.., C, R, F], base [.., C or 1, F]."""

    lse: Tensor
    hidden: Tensor
    base: Tensor


class OwnPart(NamedTuple):
    """What a beam's own keys add: score [.., C, J, R] against each code, hidden [.., C|1, J, R, F]."""

    score: Tensor
    hidden: Tensor


class RankHead(nn.Module):
    """fc2(silu(fc1([attention output] or [attention output, query]))), one logit per candidate."""

    def __init__(self, shape: RankHeadShape, hidden_size: int) -> None:
        super().__init__()
        self.heads, self.dim = shape.heads, shape.dim
        self.with_query = shape.mlp_input == "attn_query"
        self.scale = shape.dim**-0.5
        rows = shape.heads * shape.dim
        self.q_proj: nn.Linear | None = None
        self.k_proj: nn.Linear | None = None
        self.v_proj: nn.Linear | None = None
        if shape.mode == "mha":
            self.q_proj = nn.Linear(hidden_size, rows, bias=False)
            self.k_proj = nn.Linear(hidden_size, rows, bias=False)
            self.v_proj = nn.Linear(hidden_size, rows, bias=False)
        self.fc1 = nn.Linear(rows * (2 if self.with_query else 1), shape.mlp_hidden)
        self.fc2 = nn.Linear(shape.mlp_hidden, 1)

    @torch.no_grad()
    def silence(self) -> None:
        """Say the same of every code: IAP's log p then orders alone, exactly, and by the same decoder."""
        self.fc2.weight.zero_()
        self.fc2.bias.zero_()

    @torch.no_grad()
    def begin_as_similarity(self, embedding_rms: float) -> None:
        """Begin with logits that rise with q.o, the likeness of a code and of the states that it attends to.

        Projections carry the identity on top of what was drawn, queries grown to the size of a state (codes' embeddings
        have `embedding_rms`), so that a code attends to the states that expect it.  The MLP multiplies: silu(x) +
        silu(-x) is about x^2 / 2, and (q + o)^2 - (q - o)^2 = 4 q o, four hidden units for a direction; directions
        are the coordinates, or sums of some where there are more of them than a quarter of the hidden units.
        Only where there are projections and the MLP sees the query; otherwise nothing changes.
        """
        if self.q_proj is None or self.k_proj is None or self.v_proj is None or not self.with_query:
            return
        rows, units = self.heads * self.dim, self.fc2.in_features
        for projection, size in ((self.q_proj, 1.0 / embedding_rms), (self.k_proj, 1.0), (self.v_proj, 1.0)):
            projection.weight.mul_(DRAWN_SHARE * size)
            projection.weight.diagonal().add_(size)
        directions = min(units // 4, rows)
        if not directions:
            return
        # Coordinate i belongs to direction i mod directions, with a sign that keeps the sums apart.
        place = torch.arange(rows)
        along = torch.zeros(directions, rows)
        along[place % directions, place] = 1.0 - 2.0 * ((place // directions) % 2).float()
        along *= (directions / rows) ** 0.5
        for number, (of_attended, of_query) in enumerate(((1, 1), (-1, -1), (1, -1), (-1, 1))):
            own = slice(number * directions, (number + 1) * directions)
            self.fc1.weight[own] = torch.cat((of_attended * along, of_query * along), 1).to(self.fc1.weight)
            # (q + o)^2 counts for it, (q - o)^2 against it.
            self.fc2.weight[0, own] = (SIMILARITY if number < 2 else -SIMILARITY) / directions**0.5
        self.fc2.weight[0, 4 * directions :] *= DRAWN_SHARE

    def query(self, embedding: Tensor) -> Tensor:
        """Queries [.., C, R, E] of token embeddings [.., C, D]."""
        return self._heads(embedding, self.q_proj)

    def project(self, states: Tensor) -> Keys:
        """Keys and values [.., T, R, E] of backbone states [.., T, D]."""
        return Keys(self._heads(states, self.k_proj), self._heads(states, self.v_proj))

    def score_logits(self, q_emb: Tensor, keys_H: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Logits [.., C], before the sigmoid, of codes with embeddings [.., C, D] given states [.., T, D].

        key_mask bool [.., C or 1, T]: False hides a key.  Differentiable in everything.
        """
        return self.projected(self.query(q_emb), self.project(keys_H), key_mask)

    def projected(self, query: Tensor, keys: Keys, key_mask: Tensor | None = None) -> Tensor:
        """`score_logits` from queries [.., C, R, E] and keys that were projected before."""
        return self._scored(self.attention(query, keys, key_mask).output, query)

    def fused(self, query: Tensor, keys: Keys, key_mask: Tensor) -> Tensor:
        """`projected` for training: same values and gradients, without ever holding the attention weights.

        query [G, C, R, E], keys [G, T, R, E], key_mask [G, C or 1, T].
        """
        output = functional.scaled_dot_product_attention(
            query.transpose(1, 2),
            keys.key.transpose(1, 2),
            keys.value.transpose(1, 2),
            attn_mask=key_mask.unsqueeze(1),
            scale=self.scale,
        )
        return self._scored(output.transpose(1, 2), query)

    def _scored(self, attended: Tensor, query: Tensor) -> Tensor:
        features = attended.flatten(-2)
        if self.with_query:
            features = torch.cat((features, query.flatten(-2).expand_as(features)), -1)
        logits: Tensor = self.fc2(functional.silu(self.fc1(features))).squeeze(-1)
        return logits

    def attention(self, query: Tensor, keys: Keys, key_mask: Tensor | None = None) -> AttentionPart:
        """Attention output [.., C, R, E] and log-sum-exp [.., C, R]."""
        mask = None if key_mask is None else key_mask.unsqueeze(-3)
        part = attend(
            query.transpose(-2, -3),
            keys.key.transpose(-2, -3),
            keys.value.transpose(-2, -3),
            self.scale,
            mask,
        )
        return AttentionPart(part.output.transpose(-2, -3), part.lse.transpose(-1, -2))

    def hidden_of(self, attended: Tensor) -> Tensor:
        """Each head's share [.., R, F] of the MLP's first layer, for outputs or values [.., R, E]."""
        weight_FRE = self.fc1.weight[:, : self.heads * self.dim].view(-1, self.heads, self.dim)
        return torch.einsum("...re,fre->...rf", attended, weight_FRE)

    def base_of(self, query: Tensor) -> Tensor:
        """Share of the query alone [.., C, R, E] in the MLP's first layer, with the bias [.., C, F].

        [1, F], the bias, where the MLP does not see the query.
        """
        if not self.with_query:
            return self.fc1.bias.unsqueeze(0)
        return functional.linear(query.flatten(-2), self.fc1.weight[:, self.heads * self.dim :], self.fc1.bias)

    def code_part(self, query: Tensor, keys: Keys, key_mask: Tensor | None = None) -> CodePart:
        """A code's share that all beams have in common, from the keys that they have in common."""
        part = self.attention(query, keys, key_mask)
        return CodePart(part.lse, self.hidden_of(part.output), self.base_of(query))

    def own_scores(self, query: Tensor, own: Keys) -> Tensor:
        """Scores [.., C, J, R] of queries [.., C, R, E] against a beam's own keys [.., J, R, E]."""
        return torch.einsum("...cre,...jre->...cjr", query * self.scale, own.key)

    def merged_logits(self, code: CodePart, own: OwnPart | None) -> Tensor:
        """Logits [.., C] with a beam's own keys merged in by log-sum-exp (methods.md 1.5); axes broadcast."""
        if own is None:
            return self._top(code.base + code.hidden.sum(-2))
        share = self._shares(code.lse, own.score.to(code.lse.dtype)).to(code.hidden.dtype)
        hidden = code.base
        for head in range(self.heads):
            hidden = torch.addcmul(hidden, share[..., 0, head, None], code.hidden[..., head, :])
            for key in range(own.score.shape[-2]):
                hidden = torch.addcmul(hidden, share[..., key + 1, head, None], own.hidden[..., key, head, :])
        return self._top(hidden)

    def _shares(self, lse: Tensor, score: Tensor) -> Tensor:
        """Weights [.., C, 1 + J, R] of the common keys together and of each own key; they sum to 1."""
        if score.shape[-2] == 1:
            # The usual two-level case: a sigmoid costs a third of a softmax over an axis of two.
            own = torch.sigmoid(score - lse.unsqueeze(-2))
            return torch.cat((1 - own, own), -2)
        common = lse.unsqueeze(-2).expand(*score.shape[:-2], 1, self.heads)
        return torch.softmax(torch.cat((common, score), -2), -2)

    def _top(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.fc2(functional.silu(hidden)).squeeze(-1)
        return logits

    def _heads(self, x: Tensor, projection: nn.Linear | None) -> Tensor:
        out: Tensor = x if projection is None else projection(x)
        return out.view(*out.shape[:-1], self.heads, self.dim)
