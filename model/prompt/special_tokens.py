"""Names of the tokens that are no item codes, and which of them a format must have.

Called by the format alone; a name's id is the format's business.
"""

from __future__ import annotations

from collections.abc import Iterable

from contracts.behaviors import Level
from model.prompt.context import DEVICE_CLASSES, HOURS

PAD, MARKER = "pad", "marker"
SCENE_NONE, SCENE_OTHER = "scene:none", "scene:other"

_CONTEXT = (
    *(f"hour:{hour}" for hour in ("none", *range(HOURS))),
    *(f"device:{device}" for device in ("none", *DEVICE_CLASSES)),
)
_BEHAVIORS = tuple(f"behavior:{level.name.lower()}" for level in Level)


def behavior_token(level: Level) -> str:
    """Name of the token that stands before an item in the layout `items_behaviors`."""
    return f"behavior:{level.name.lower()}"


def required_names(*, with_behaviors: bool) -> tuple[str, ...]:
    """Names without which no prompt can be built."""
    behaviors = _BEHAVIORS if with_behaviors else ()
    return (PAD, MARKER, SCENE_NONE, SCENE_OTHER, *_CONTEXT, *behaviors)


def all_names(scenes: Iterable[str]) -> tuple[str, ...]:
    """Every name of a new format, in the order of their ids: known scenes sorted, empty names left out."""
    known = sorted({f"scene:{scene}" for scene in scenes if scene} - {SCENE_NONE, SCENE_OTHER})
    return (PAD, MARKER, SCENE_NONE, SCENE_OTHER, *known, *_CONTEXT, *_BEHAVIORS)
