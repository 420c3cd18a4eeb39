"""Seeded users: histories of random items of the catalogue, as the prompt a real request would bring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.errors import BadRequest
from model.prompt import PromptContext, PromptFormat, context_tokens
from model.semantic_id.catalog import Catalog, Int64s


@dataclass(frozen=True, slots=True)
class Users:
    """Everybody is named by a few numbers; the same numbers are the same user, in every process and run."""

    prompt_format: PromptFormat
    catalog: Catalog
    seed: int

    def prompt(self, name: tuple[int, ...], tokens: int) -> Int64s:
        """A prompt of exactly so many tokens.  Raises BadRequest where no whole number of items makes them."""
        fmt = self.prompt_format
        items, rest = divmod(tokens - fmt.context_length, fmt.item_tokens)
        if items < 1 or rest:
            raise BadRequest(f"no history makes a prompt of {tokens} tokens")
        return self.of_items(name, items)

    def of_items(self, name: tuple[int, ...], items: int) -> Int64s:
        """The user's first `items` items, oldest first, and the context; more items extend the same history."""
        fmt = self.prompt_format
        row_T = np.random.default_rng([self.seed, *name]).integers(0, len(self.catalog), items)
        history = self.catalog.codes[row_T].astype(np.int64) + np.array(fmt.token_offsets, dtype=np.int64)
        return np.concatenate((history.reshape(-1), context_tokens(fmt, PromptContext())))
