"""Which model and catalogue an engine's answer came from, as headers of every answer, refusals included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateways.inference.port import CATALOG_HEADER, MODEL_HEADER


def version_headers(model_version: str, catalog_version: str) -> dict[str, str]:
    """Percent-encoded: a version may hold any character, a header may not."""
    return {MODEL_HEADER: quote(model_version), CATALOG_HEADER: quote(catalog_version)}


class VersionHeaders:
    """ASGI middleware.  `versions` are asked as an answer begins."""

    def __init__(self, app: ASGIApp, versions: Callable[[], Mapping[str, str]]) -> None:
        self._app = app
        self._versions = versions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; an answer that names its versions itself keeps them."""

        async def naming(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, version in self._versions().items():
                    headers.setdefault(name, version)
            await send(message)

        await self._app(scope, receive, naming if scope["type"] == "http" else send)
