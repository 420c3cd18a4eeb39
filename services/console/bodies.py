"""What the page's requests hold.  Item ids travel as strings: a page's numbers lose what is above 2**53.

Used by the routes.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from contracts.behaviors import Behavior
from contracts.ids import MAX_SCENE_CHARACTERS, ItemIdField, RequestIdField, TimestampMs, UserIdField
from contracts.messages import RecentInteraction

MOST_TOLD = 400
MOST_SHOWN = 100


def _item(given: object) -> object:
    """`"12"` as 12; anything else is left for the check behind this one."""
    digits = given[1:] if isinstance(given, str) and given.startswith("-") else given
    if isinstance(given, str) and isinstance(digits, str) and digits.isascii() and digits.isdigit():
        return int(given) if len(given) <= 20 else given
    return given


ItemText = Annotated[ItemIdField, BeforeValidator(_item, json_schema_input_type=str)]
Scene = Annotated[str, Field(max_length=MAX_SCENE_CHARACTERS)]
Limit = Annotated[int, Field(ge=1, le=MOST_SHOWN)]


class Body(BaseModel):
    """How all of them behave."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Recent(Body):
    """Something that was done on the page a moment ago."""

    item_id: ItemText
    behavior: Behavior
    timestamp: TimestampMs

    def told(self) -> RecentInteraction:
        """As a trigger tells it."""
        return RecentInteraction(item_id=self.item_id, behavior=self.behavior, timestamp=self.timestamp)


class TriggerBody(Body):
    """Begin a request of this user's."""

    user_id: UserIdField
    scene: Scene | None = None
    recent: tuple[Recent, ...] = Field(default=(), max_length=MOST_TOLD)


class InteractionBody(Body):
    """The user did something with an item of the list; it happens now."""

    user_id: UserIdField
    item_id: ItemText
    behavior: Behavior
    request_id: RequestIdField | None = None
    position: int | None = Field(default=None, strict=True, ge=0, lt=2**31)


class LifeQuery(Body):
    """Which request is followed; `accepted_at` as the trigger's answer told it."""

    user_id: UserIdField
    request_id: RequestIdField
    accepted_at: int = Field(ge=0, lt=2**53)
    scene: Scene | None = None
    limit: Limit = 20


class UserQuery(Body):
    """Whose history."""

    user_id: UserIdField


class PromoteBody(Body):
    """Which version everybody, or the canary's followers alone, shall serve."""

    version: str = Field(min_length=4, max_length=64, pattern=r"^[0-9a-f]+$")
    channel: Annotated[str, Field(pattern=r"^(latest|canary)$")] = "latest"


class RollbackBody(Body):
    """`to`: the version that was confirmed, where one was shown.  `withdraw`: the canary is taken back instead."""

    to: str | None = Field(default=None, max_length=64)
    withdraw: bool = Field(default=False, strict=True)


class ReplayBody(Body):
    """How many dead letters go back at most."""

    most: int = Field(default=1000, strict=True, ge=1, le=10_000)


class HiddenBody(Body):
    """Items to hide at once, and items to show again."""

    hide: tuple[ItemText, ...] = Field(default=(), max_length=1000)
    show: tuple[ItemText, ...] = Field(default=(), max_length=1000)
