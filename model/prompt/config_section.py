"""The part of config.json's `rankgr` section that a prompt needs, checked field by field.

Called by PromptFormat alone; what else the section holds belongs to the network and the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import BadBundle

_CONFIG = ConfigDict(frozen=True, extra="ignore", strict=True)


class LevelSection(BaseModel):
    """One codebook level: how many codes, and the token id of code 0."""

    model_config = _CONFIG

    size: int
    token_offset: int


class PromptSection(BaseModel):
    """How a history becomes a prompt; `history_level` names the weakest behaviour that enters one."""

    model_config = _CONFIG

    layout: str
    max_tokens: int
    block_tokens: int
    history_level: str = "click"
    context: list[str] = ["scene", "hour", "device"]
    before: list[int] = []
    after: list[int] = []


class FormatSection(BaseModel):
    """`levels`, `special_tokens` and `prompt`."""

    model_config = _CONFIG

    levels: list[LevelSection] = Field(min_length=1)
    special_tokens: dict[str, int]
    prompt: PromptSection

    @classmethod
    def parse(cls, section: Mapping[str, object]) -> Self:
        """Raises BadBundle naming the first field that is wrong."""
        try:
            return cls.model_validate(dict(section))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise BadBundle(f"config.json: rankgr.{field}: {first['msg']}") from error
