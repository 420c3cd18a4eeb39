"""RSP's part that no beam changes (methods.md 1.5): per user and level, each code's attention over the prompt.

Computed for the codes that are met, when they are met first.  Scorers of pairs read it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.decoding.decodable import Decodable
from model.network.fused_attention import attend_fused
from model.network.rank_head import CodePart, Keys, RankHead

# Shapes: V codes of a level, C codes with a row, U keys of the prompt, R heads, E width of a head,
# F hidden units of the MLP.


@dataclass(frozen=True, slots=True, eq=False)
class CodeQueries:
    """What depends on the weights alone: query [V, R, E] and base [V or 1, F] of every code of a level."""

    query: Tensor
    base: Tensor

    @classmethod
    def of(cls, network: Decodable, level: int) -> CodeQueries:
        """Of a level's codes (1..M)."""
        query_VRE = network.rank_head.query(network.code_embeddings(level))
        return cls(query_VRE, network.rank_head.base_of(query_VRE))


@dataclass(frozen=True, slots=True, eq=False)
class CodeRows:
    """row int64 [V]: a code's row below, -1 where it has none.

    code int64 [C]; query [C, R, E]; part: lse [C, R], hidden [C, R, F], base [C or 1, F].
    """

    row: Tensor
    code: Tensor
    query: Tensor
    part: CodePart


class CodeTable:
    """The rows of one user at one level; grows, for one thread at a time."""

    def __init__(self, head: RankHead, queries: CodeQueries, shared: Keys) -> None:
        self._head = head
        self._queries = queries
        self._shared = shared
        codes = len(queries.query)
        self._rows: CodeRows | None = None
        self._none_V = torch.full((codes,), -1, dtype=torch.int64, device=queries.query.device)

    def rows_for(self, used_V: Tensor) -> CodeRows:
        """Rows at least for the codes marked in bool [V]; what was computed before stays where it was."""
        before = self._rows
        missing_V = used_V if before is None else used_V & (before.row < 0)
        code_C = missing_V.nonzero().squeeze(1)
        if before is not None and not len(code_C):
            return before
        new = self._computed(code_C)
        self._rows = new if before is None else self._joined(before, new)
        return self._rows

    def _computed(self, code_C: Tensor) -> CodeRows:
        queries = self._queries
        query_CRE = queries.query if len(code_C) == len(queries.query) else queries.query[code_C]
        keys = self._shared
        part = attend_fused(
            query_CRE.transpose(0, 1), keys.key.transpose(0, 1), keys.value.transpose(0, 1), self._head.scale
        )
        base = queries.base[code_C] if self._head.with_query else queries.base
        hidden_CRF = self._head.hidden_of(part.output.transpose(0, 1))
        row_V = self._none_V.clone()
        row_V[code_C] = torch.arange(len(code_C), device=code_C.device)
        return CodeRows(row_V, code_C, query_CRE, CodePart(part.lse.transpose(0, 1), hidden_CRF, base))

    def _joined(self, one: CodeRows, other: CodeRows) -> CodeRows:
        row_V = torch.where(other.row < 0, one.row, other.row + len(one.code))
        # Where the MLP does not see the query, the base is one row for all codes.
        base = torch.cat((one.part.base, other.part.base)) if self._head.with_query else one.part.base
        return CodeRows(
            row_V,
            torch.cat((one.code, other.code)),
            torch.cat((one.query, other.query)),
            CodePart(torch.cat((one.part.lse, other.part.lse)), torch.cat((one.part.hidden, other.part.hidden)), base),
        )
