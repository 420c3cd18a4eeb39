"""Valid codes against a set of prefixes."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.semantic_id.trie import Trie
from model.training.valid_codes import ValidCodes


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(1, 30),
    st.integers(0, 10_000),
)
def test_valid_are_the_codes_that_some_item_continues_with(sizes: list[int], items: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    codes = np.stack([chance.integers(0, size, items) for size in sizes], 1).astype(np.int32)
    valid = ValidCodes(Trie.of(codes, sizes))
    for depth, size in enumerate(sizes):
        # Prefixes as a batch has them: in any order, repeated.
        prefixes = codes[chance.integers(0, items, 7), :depth].astype(np.int64)
        found = valid.following(torch.from_numpy(prefixes))
        assert found.shape == (7, size)
        for prefix, row in zip(prefixes.tolist(), found.tolist(), strict=True):
            following = {code[depth] for code in codes.tolist() if code[:depth] == prefix}
            assert {code for code, is_valid in enumerate(row) if is_valid} == following
