"""The page's own files: HTML, one style sheet, ES modules.  Read once; open to all, for the page asks for the key."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Request
from starlette.responses import Response

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PAGES = {"/": "request.html", "/system": "system.html"}


def page_files() -> dict[str, tuple[bytes, str]]:
    """Path -> content and type."""
    found: dict[str, tuple[bytes, str]] = {}
    for file in files("services.console").joinpath("page").iterdir():
        kind = file.name.rpartition(".")[2]
        if kind in _TYPES:
            found[f"/page/{file.name}"] = (file.read_bytes(), _TYPES[kind])
    for path, name in _PAGES.items():
        found[path] = found.pop(f"/page/{name}")
    return found


def add_page(app: FastAPI, served: dict[str, tuple[bytes, str]]) -> None:
    """A route for each."""

    async def answer(request: Request) -> Response:
        content, kind = served[request.url.path]
        # Asked again each time, so that page and API are of one release.
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    for path in served:
        app.add_api_route(path, answer, methods=["GET"], include_in_schema=False)
