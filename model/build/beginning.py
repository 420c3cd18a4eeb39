"""Where a training begins: a network drawn from a seed, or a language model from a local directory."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Protocol

from model.build.network import network_config
from model.build.recipe import Recipe
from model.network.network import RankGRNetwork, network_from
from model.prompt import PromptFormat, tokenizer_files


def even_chance(fmt: PromptFormat) -> float:
    """The chance that a code is true before anything is learnt, over the levels: what the rank head begins with."""
    return 1.0 / statistics.geometric_mean(fmt.level_sizes)


class Beginning(Protocol):
    """What a training starts from."""

    def name(self) -> str:
        """What it is, for the manifest: equal names begin equally."""
        ...

    def prompt_format(self, fmt: PromptFormat, instruction: str) -> PromptFormat:
        """The format of prompts, its tokens where this beginning has room for them, its instruction in place."""
        ...

    def network(self, recipe: Recipe, fmt: PromptFormat, seed: int) -> RankGRNetwork:
        """The untrained network.  Raises BadConfig where recipe and beginning do not fit."""
        ...

    def tokenizer_files(self, fmt: PromptFormat) -> Mapping[str, str | bytes]:
        """File name to content."""
        ...


class FromSeed:
    """All weights drawn anew."""

    def name(self) -> str:
        """The seed stands elsewhere in the manifest."""
        return ""

    def prompt_format(self, fmt: PromptFormat, instruction: str) -> PromptFormat:  # noqa: ARG002
        """As it is: no text means anything to such a network."""
        return fmt

    def network(self, recipe: Recipe, fmt: PromptFormat, seed: int) -> RankGRNetwork:
        """Of the recipe's size."""
        network = network_from(network_config(recipe, fmt), seed)
        network.initialise(seed, even_chance(fmt))
        return network

    def tokenizer_files(self, fmt: PromptFormat) -> Mapping[str, str | bytes]:
        """Names of the tokens."""
        return tokenizer_files(fmt)
