"""The engine over HTTP: `POST /recommend`.  Built by `main`."""

from __future__ import annotations

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.responses import Response

from services.engine.bodies import RecommendAnswer, RecommendBody, json_of
from services.engine.recommend_items import RecommendItems
from services.runtime.gate import Door
from services.runtime.http import Lifespan, create_app


def create_api(
    recommend: RecommendItems,
    *,
    registry: CollectorRegistry,
    door: Door | None = None,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """The app; it is ready when the model is warm."""
    app = create_app("RankGR engine", ready=recommend.ready, metrics=registry, door=door, lifespan=lifespan)

    @app.post(
        "/recommend",
        response_model=RecommendAnswer,
        summary="The best items for one user's prompt, with every level's scores",
    )
    async def recommend_items(body: RecommendBody) -> Response:
        answer = await recommend(body.asked())
        # Written by hand: checking 1400 items against their model would cost more than decoding some lists.
        return Response(json_of(answer), media_type="application/json")

    return app
