"""Users of a data set that the page offers, with what they had done: a stack that has just started knows nobody.

`rankgr up` writes the file where it has the data; main reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import BadRequest
from contracts.ids import UserId, UserIdField
from contracts.messages import RecentInteraction

MOST_BYTES = 4_000_000


class Example(BaseModel):
    """One user; `recent` as a trigger would tell it, oldest first."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    user_id: UserIdField
    recent: tuple[RecentInteraction, ...] = Field(max_length=500)


class Examples(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    users: tuple[Example, ...] = Field(max_length=100)


def read_examples(path: Path | None) -> Mapping[UserId, Example]:
    """By user id, in the file's order.  Raises BadRequest for a file that is none."""
    if path is None:
        return {}
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadRequest(f"RANKGR_CONSOLE_EXAMPLES: {path} is longer than {MOST_BYTES:,} bytes")
        found = Examples.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadRequest(f"RANKGR_CONSOLE_EXAMPLES: {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise BadRequest(f"RANKGR_CONSOLE_EXAMPLES: {path}: {place}: {first['msg']}") from error
    return {one.user_id: one for one in found.users}
