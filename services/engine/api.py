"""The engine over HTTP: `POST /recommend`, in JSON or packed.  Built by `main`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from contracts.errors import BadRequest
from services.engine.bodies import RecommendAnswer, RecommendBody, json_of, packed_of
from services.engine.recommend_items import RecommendItems
from services.engine.recommendation import Recommendation
from services.engine.version_headers import VersionHeaders, version_headers
from services.gateways.inference.packed import PROMPT_TYPE, RECOMMENDATION_TYPE
from services.runtime.accept import preferred
from services.runtime.clock import Clock
from services.runtime.gate import Door
from services.runtime.http import MAX_BODY_BYTES, Lifespan, create_app
from services.runtime.tracing import HEADER, Traces, Untraced
from services.runtime.while_connected import CLIENT_GONE, ClientGone, while_connected

JSON_TYPE = "application/json"
_PACKED_SCHEMA = {"schema": {"type": "string", "format": "binary"}}


def create_api(  # noqa: PLR0913 - each is built by main alone
    recommend: RecommendItems,
    *,
    clock: Clock,
    registry: CollectorRegistry,
    door: Door | None = None,
    lifespan: Lifespan | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    traces: Traces | None = None,
) -> FastAPI:
    """The app; it is ready when the model is warm."""
    spans = traces or Untraced()
    app = create_app(
        "RankGR engine",
        ready=recommend.ready,
        metrics=registry,
        door=door,
        lifespan=lifespan,
        max_body_bytes=max_body_bytes,
    )

    def versions() -> dict[str, str]:
        model = recommend.serving.model
        return version_headers(model.model_version, model.catalog_version)

    app.add_middleware(VersionHeaders, versions=versions)

    @app.post(
        "/recommend",
        response_model=RecommendAnswer,
        responses={200: {"content": {RECOMMENDATION_TYPE: _PACKED_SCHEMA}}},
        openapi_extra=_takes(RecommendBody),
        summary="The best items for one user's prompt, with every level's scores",
    )
    async def recommend_items(request: Request) -> Response:
        arrived_s = clock.monotonic_s()
        try:
            body = _read(request, await request.body())
            with spans.span("engine", parent=request.headers.get(HEADER)):
                found = await while_connected(request, recommend(body.asked(), clock.monotonic_s() - arrived_s))
        except (ClientDisconnect, ClientGone):
            return Response(status_code=CLIENT_GONE)
        return _written(found, request.headers.get("accept", ""), level_scores=body.level_scores)

    return app


def _takes(body: type[RecommendBody]) -> dict[str, Any]:
    """The request's forms for OpenAPI; the body is read by hand, so FastAPI does not see them."""
    schema = body.model_json_schema()
    content = {JSON_TYPE: {"schema": schema}, PROMPT_TYPE: _PACKED_SCHEMA}
    return {"requestBody": {"required": True, "content": content}}


def _read(request: Request, data: bytes) -> RecommendBody:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == JSON_TYPE:
        return RecommendBody.of_json(data)
    if kind == PROMPT_TYPE:
        return RecommendBody.of_packed(data)
    # Left unparsed: a page of another site may send such a body without asking, these two it may not.
    raise BadRequest(f"body: is read with the header content-type: {JSON_TYPE} or {PROMPT_TYPE} only")


def _written(found: Recommendation, accept: str, *, level_scores: bool) -> Response:
    headers = version_headers(found.model_version, found.catalog_version)
    if preferred(accept, (JSON_TYPE, RECOMMENDATION_TYPE)) == RECOMMENDATION_TYPE:
        return Response(packed_of(found, level_scores=level_scores), headers=headers, media_type=RECOMMENDATION_TYPE)
    return Response(json_of(found, level_scores=level_scores), headers=headers, media_type=JSON_TYPE)
