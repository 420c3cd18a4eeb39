"""Some users of the data with what they had done, in a file: whom the console of a stack that knows nobody yet can offer."""

from __future__ import annotations

import json
from pathlib import Path

from contracts.errors import BadDataSet
from model.bundle.prompt_side import read_prompt_side
from services.local.demo import choose_users, history_of
from services.local.prepare import Prepared


def write_examples(prepared: Prepared, state: Path) -> Path | None:
    """The file; None where the data has no user with a history."""
    level = read_prompt_side(prepared.bundle).prompt_format.history_level
    try:
        chosen = choose_users(prepared.data, level, users=8)
    except BadDataSet:
        return None
    users = [
        {
            "user_id": user.user,
            "recent": [
                {"item_id": past.item_id, "behavior": past.behavior, "timestamp": past.timestamp}
                for past in history_of(user)
            ],
        }
        for user in chosen
    ]
    path = state / "examples.json"
    path.write_text(json.dumps({"users": users}))
    return path
