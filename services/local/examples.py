"""Some users of the data with what they had done: whom the console of a stack that knows nobody yet can offer."""

from __future__ import annotations

import json
import os
from pathlib import Path

from contracts.errors import BadDataSet
from model.bundle.prompt_side import read_prompt_side
from services.console.settings import ConsoleSettings
from services.local.demo import choose_users, history_of
from services.local.prepare import Prepared
from services.runtime.settings import variables_of

USERS = 8


def offer_examples(prepared: Prepared, state: Path) -> None:
    """Write them to a file under `state`, and let the console read it, unless its environment tells it another.

    Data without a user who has a history offers nobody.
    """
    level = read_prompt_side(prepared.bundle).prompt_format.history_level
    try:
        chosen = choose_users(prepared.data, level, USERS)
    except BadDataSet:
        return
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
    os.environ.setdefault(variables_of(ConsoleSettings)["examples"], str(path.absolute()))
