"""Which token ids a bundle's prompts are made of, and how long a prompt may be.

Made once when a bundle is built and read back from its config.json; never changes while it is in use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import lcm
from typing import Self

from contracts.behaviors import Level
from contracts.errors import BadBundle
from model.prompt.config_section import FormatSection
from model.prompt.special_tokens import all_names, required_names

LAYOUTS = ("items", "items_behaviors")
CIRCUMSTANCES = ("scene", "hour", "device")
MOST_LEVELS = 26
DEFAULT_MAX_TOKENS = 1024
# vLLM shares the KV cache in blocks of 16 tokens; 48 also holds whole items of two, three or four tokens.
KV_BLOCK_TOKENS, DEFAULT_BLOCK_TOKENS = 16, 48
# Matrix kernels like a vocabulary that is a multiple of 8.
VOCABULARY_MULTIPLE = 8


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """Token ids, layout and length of prompts.  Raises BadBundle for values that contradict each other.

    layout "items": an item is its codes; "items_behaviors": one behaviour token, then its codes.
    The token of code c at level l (0-based) is token_offsets[l] + c.
    context: which circumstances of a request stand behind the history, in this order.
    before, after: ids of an instruction's text in front of the history, and between circumstances and marker.
    """

    layout: str
    max_tokens: int
    block_tokens: int
    level_sizes: tuple[int, ...]
    token_offsets: tuple[int, ...]
    special_tokens: Mapping[str, int]
    history_level: Level = Level.CLICK
    context: tuple[str, ...] = CIRCUMSTANCES
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._check_layout()
        self._check_levels()
        self._check_special_tokens()

    def _check_layout(self) -> None:
        if self.layout not in LAYOUTS:
            raise BadBundle(f"unknown prompt layout {self.layout!r}, known are {', '.join(LAYOUTS)}")
        if self.block_tokens < 1:
            raise BadBundle(f"block_tokens must be at least 1, not {self.block_tokens}")
        if unknown := [name for name in self.context if name not in CIRCUMSTANCES]:
            raise BadBundle(f"unknown context {unknown[0]!r}, known are {', '.join(CIRCUMSTANCES)}")
        if len(set(self.context)) < len(self.context):
            raise BadBundle(f"a context names each circumstance once, not {', '.join(self.context)}")
        if self.max_tokens < self.fixed_length:
            raise BadBundle(f"max_tokens {self.max_tokens} leaves no room for the {self.fixed_length} context tokens")

    def _check_levels(self) -> None:
        if not 1 <= len(self.level_sizes) <= MOST_LEVELS:
            raise BadBundle(f"a prompt needs 1 to {MOST_LEVELS} levels, not {len(self.level_sizes)}")
        if len(self.token_offsets) != len(self.level_sizes):
            raise BadBundle(f"{len(self.level_sizes)} levels but {len(self.token_offsets)} token offsets")
        if min(self.level_sizes) < 1 or min(self.token_offsets) < 0:
            raise BadBundle(
                f"level sizes {self.level_sizes} must be positive, offsets {self.token_offsets} not negative"
            )
        slices = sorted(zip(self.token_offsets, self.level_sizes, strict=True))
        for (start, size), (following, _) in pairwise(slices):
            if start + size > following:
                raise BadBundle(f"the level that starts at token {start} overlaps the one at {following}")

    def _check_special_tokens(self) -> None:
        needed = required_names(with_behaviors=self.layout == "items_behaviors")
        if missing := [name for name in needed if name not in self.special_tokens]:
            raise BadBundle(f"special tokens are missing: {', '.join(missing)}")
        owner: dict[int, str] = {}
        for name, token in self.special_tokens.items():
            if token < 0:
                raise BadBundle(f"special token {name!r} has the negative id {token}")
            if token in owner:
                raise BadBundle(f"special tokens {owner[token]!r} and {name!r} share the id {token}")
            if self.level_of_token(token) is not None:
                raise BadBundle(f"special token {name!r} has the id {token} inside a level's slice")
            owner[token] = name
        for token in (*self.before, *self.after):
            if token < 0 or self.level_of_token(token) is not None:
                raise BadBundle(f"the instruction holds the token {token}, which is negative or an item's code")

    @classmethod
    def create(
        cls,
        level_sizes: Sequence[int],
        scenes: Iterable[str] = (),
        *,
        layout: str = "items",
        max_tokens: int = DEFAULT_MAX_TOKENS,
        block_tokens: int | None = None,
        history_level: Level = Level.CLICK,
    ) -> Self:
        """A new format: special tokens from id 0, then one slice per level.

        block_tokens None: the least multiple of 16 and of an item's tokens that is 48 or more.  A given one
        must hold whole items, else a cut would leave half an item in front (BadBundle).
        """
        special_tokens = {name: token for token, name in enumerate(all_names(scenes))}
        item_tokens = len(level_sizes) + (layout == "items_behaviors")
        if block_tokens is None:
            unit = lcm(KV_BLOCK_TOKENS, item_tokens)
            block_tokens = -(-DEFAULT_BLOCK_TOKENS // unit) * unit
        elif block_tokens % item_tokens:
            raise BadBundle(f"block_tokens {block_tokens} is no multiple of the {item_tokens} tokens of an item")
        offsets = [len(special_tokens)]
        for size in level_sizes[:-1]:
            offsets.append(offsets[-1] + size)
        return cls(
            layout=layout,
            max_tokens=max_tokens,
            block_tokens=block_tokens,
            level_sizes=tuple(level_sizes),
            token_offsets=tuple(offsets),
            special_tokens=special_tokens,
            history_level=history_level,
        )

    def behind(self, vocabulary: int) -> Self:
        """The same with every special token and level behind a vocabulary of so many ids that is there already."""
        return replace(
            self,
            token_offsets=tuple(offset + vocabulary for offset in self.token_offsets),
            special_tokens={name: token + vocabulary for name, token in self.special_tokens.items()},
        )

    @classmethod
    def from_config(cls, section: Mapping[str, object], vocab_size: int | None = None) -> Self:
        """Read config.json's `rankgr` section; `vocab_size` is the model's, every id must lie below it.

        Raises BadBundle naming what is wrong.
        """
        parsed = FormatSection.parse(section)
        try:
            history_level = Level[parsed.prompt.history_level.upper()]
        except KeyError:
            raise BadBundle(f"unknown prompt.history_level {parsed.prompt.history_level!r}") from None
        made = cls(
            layout=parsed.prompt.layout,
            max_tokens=parsed.prompt.max_tokens,
            block_tokens=parsed.prompt.block_tokens,
            level_sizes=tuple(level.size for level in parsed.levels),
            token_offsets=tuple(level.token_offset for level in parsed.levels),
            special_tokens=parsed.special_tokens,
            history_level=history_level,
            context=tuple(parsed.prompt.context),
            before=tuple(parsed.prompt.before),
            after=tuple(parsed.prompt.after),
        )
        if vocab_size is not None and made.used_tokens > vocab_size:
            raise BadBundle(f"token {made.used_tokens - 1} is outside the model's vocabulary of {vocab_size}")
        return made

    def to_config(self) -> dict[str, object]:
        """The keys `levels`, `special_tokens` and `prompt` of the `rankgr` section."""
        return {
            "levels": [
                {"size": size, "token_offset": offset}
                for size, offset in zip(self.level_sizes, self.token_offsets, strict=True)
            ],
            "special_tokens": dict(self.special_tokens),
            "prompt": self.prompt_section(),
        }

    def prompt_section(self) -> dict[str, object]:
        """The key `prompt` of the `rankgr` section."""
        return {
            "layout": self.layout,
            "max_tokens": self.max_tokens,
            "block_tokens": self.block_tokens,
            "history_level": self.history_level.name.lower(),
            "context": list(self.context),
            "before": list(self.before),
            "after": list(self.after),
        }

    @property
    def levels(self) -> int:
        """Codes per item, m."""
        return len(self.level_sizes)

    @property
    def item_tokens(self) -> int:
        """Tokens that one item of a history takes."""
        return self.levels + (self.layout == "items_behaviors")

    @property
    def context_length(self) -> int:
        """Tokens after the history: its circumstances (scene, hour, device), what ends an instruction, the marker."""
        return len(self.context) + len(self.after) + 1

    @property
    def fixed_length(self) -> int:
        """Tokens of a prompt that are no history."""
        return len(self.before) + self.context_length

    @property
    def used_tokens(self) -> int:
        """One more than the highest token id in use."""
        ends = (o + size for o, size in zip(self.token_offsets, self.level_sizes, strict=True))
        return max(*ends, max(*self.special_tokens.values(), *self.before, *self.after) + 1)

    @property
    def vocab_size(self) -> int:
        """Vocabulary of a model made for this format: `used_tokens`, rounded up to a multiple of 8."""
        return -(-self.used_tokens // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE

    @property
    def pad(self) -> int:
        """The id that fills a batch's shorter rows; no prompt holds it."""
        return self.special_tokens["pad"]

    @property
    def marker(self) -> int:
        """The id that ends every prompt; the state above it is h_1."""
        return self.special_tokens["marker"]

    def level_of_token(self, token: int) -> int | None:
        """The 0-based level whose slice holds the token; None for any other token."""
        slices = zip(self.token_offsets, self.level_sizes, strict=True)
        return next((level for level, (start, size) in enumerate(slices) if start <= token < start + size), None)
