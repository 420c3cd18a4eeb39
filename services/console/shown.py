"""What the verbs found, as the JSON that the page reads: with titles, item ids as strings, times in milliseconds.

Used by the routes; decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import assert_never

from contracts.ids import ItemId
from contracts.messages import DeadLetter
from services.console.explain_list import Explained, Why
from services.console.follow_request import Computed, NotSeen, Retrieved, Told
from services.console.look_at_system import SystemNow
from services.console.stored_bundles import BundlesNow
from services.console.words import Words
from services.gateways.history.port import PastInteraction
from services.gateways.own_processes.port import Page

Json = dict[str, object]


def told(one: Told, words: Words) -> tuple[str, Json]:
    """An event of a request's life: its name and its data."""
    match one:
        case Computed():
            return "computed", asdict(one)
        case Retrieved():
            return "retrieved", {
                "asked_ms": one.asked_ms,
                "took_ms": round(one.took_ms, 3),
                **_page(one.page, words),
            }
        case Explained():
            return "explained", {
                "model_version": one.model_version,
                "items": [_why(why, words) for why in one.items],
                "without_rsp": [_why(why, words) for why in one.without_rsp],
            }
        case NotSeen():
            return "not_seen", asdict(one)
        case _:
            assert_never(one)


def item(item_id: ItemId, words: Words) -> Json:
    """An item as a person reads it."""
    return {"item_id": str(item_id), "title": words.title_of(item_id)}


def history(past: Sequence[PastInteraction], most: int, words: Words) -> Json:
    """Newest first."""
    newest = list(past)[::-1][:most]
    rows = [{**item(one.item_id, words), "behavior": one.behavior.value, "timestamp": one.timestamp} for one in newest]
    return {"events": len(past), "items": rows}


def system(now: SystemNow) -> Json:
    """The live part of the system page."""
    return asdict(now)


def bundles(now: BundlesNow | None) -> Json:
    """What the bundle store holds, newest first; None: there is no store."""
    return {"store": False} if now is None else {"store": True, **asdict(now)}


def letters(found: Sequence[DeadLetter]) -> Json:
    """Dead letters, newest first; what is in them stays where it is."""
    rows = [
        {
            "topic": one.topic,
            "group": one.group,
            "user_id": one.key,
            "reason": one.reason,
            "attempts": one.attempts,
            "buried_at": one.buried_at,
        }
        for one in reversed(found)
    ]
    return {"letters": rows}


def _page(page: Page, words: Words) -> Json:
    rows = [{**item(one.item_id, words), "score": one.score, "sid": one.sid} for one in page.items]
    return {
        "outcome": page.outcome,
        "request_id": page.request_id,
        "model_version": page.model_version,
        "catalog_version": page.catalog_version,
        "items": rows,
    }


def _why(why: Why, words: Words) -> Json:
    return {
        **item(why.item_id, words),
        "sid": why.sid,
        "score": why.score,
        "levels": [[level.iap_logprob, level.rsp_logscore] for level in why.levels],
        "rank": why.rank,
        "rank_without_rsp": why.rank_without_rsp,
    }
