"""What retrieval is held against: the same answer by FastAPI, pydantic and redis-py, as their documentation shows it.

A list is one JSON document per user; a page reads it, validates it, cuts it and is validated again on its way out.
Run as a process: `python -m services.bench.online.plain PORT REDIS_URL`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, cast

import uvicorn
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel
from redis.asyncio import Redis

from contracts.candidate_set import CandidateSet


class Item(BaseModel):
    """An item of a stored list and of an answer."""

    item_id: int
    score: float
    sid: list[int]


class Stored(BaseModel):
    """A user's list as it is stored."""

    request_id: str
    model_version: str
    catalog_version: str
    generated_at: int
    items: list[Item]


class Answer(BaseModel):
    """A page."""

    outcome: str
    user_id: str
    request_id: str
    model_version: str
    catalog_version: str
    generated_at: int
    age_ms: int
    items: list[Item]
    next_cursor: str | None


def plain_key(user: str) -> str:
    """Where a user's document is."""
    return f"plain:{user}"


def document_of(candidates: CandidateSet) -> str:
    """The list as a document."""
    return Stored(
        request_id=candidates.request_id,
        model_version=candidates.model_version,
        catalog_version=candidates.catalog_version,
        generated_at=candidates.generated_at,
        items=[Item(item_id=one.item_id, score=one.score, sid=list(one.sid)) for one in candidates.items],
    ).model_dump_json()


def create(redis_url: str) -> FastAPI:
    """The app."""
    redis = Redis.from_url(redis_url)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await redis.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/retrieve/{user_id}")
    async def retrieve(user_id: str, limit: Annotated[int, Query(ge=1, le=1400)] = 50) -> Answer:
        found = cast(bytes | None, await redis.get(plain_key(user_id)))
        if found is None:
            raise HTTPException(404)
        stored = Stored.model_validate_json(found)
        return Answer(
            outcome="fresh",
            user_id=user_id,
            request_id=stored.request_id,
            model_version=stored.model_version,
            catalog_version=stored.catalog_version,
            generated_at=stored.generated_at,
            age_ms=max(0, time.time_ns() // 1_000_000 - stored.generated_at),
            items=stored.items[:limit],
            next_cursor=str(limit) if limit < len(stored.items) else None,
        )

    return app


if __name__ == "__main__":
    uvicorn.run(create(sys.argv[2]), port=int(sys.argv[1]), access_log=False, log_level="warning")
