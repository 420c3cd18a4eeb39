"""The retrieval service over HTTP: the hot route `GET /retrieve/{user_id}`, and `POST /items/hidden` for operators.

Built by `main`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import Receive
from starlette.types import Scope as AsgiScope

from contracts.errors import CursorGone
from contracts.ids import UserId
from services.retrieval.answer import json_of, msgpack_of
from services.retrieval.formats import Format, format_of
from services.retrieval.hide_items import HiddenAnswer, HiddenBody, HideItems
from services.retrieval.metrics import RetrievalMetrics
from services.retrieval.packed_answer import packed_of
from services.retrieval.query import read_plain, read_query, read_user_id
from services.retrieval.readiness import StoreAnsweredOnce
from services.retrieval.retrieve_route import PREFIX, TEMPLATE, DescribedRoute, is_one_segment, segment_of
from services.retrieval.serve_candidates import Fallback, Fresh, Masking, Outcome, PageAsked, ServeCandidates
from services.runtime.admission import Admission
from services.runtime.clock import Clock
from services.runtime.gate import Door
from services.runtime.hot_route import HotAnswer, HotRoute, RawHeaders
from services.runtime.http import Lifespan, create_app
from services.runtime.http_errors import ErrorAnswer, status_of

HIDDEN_PATH = "/items/hidden"


@dataclass(frozen=True, slots=True)
class _Form:
    """How one form of answer is written, and named in headers; looked up once and then kept with the header's value."""

    write: Callable[[UserId, Outcome], bytes]
    content_type: tuple[bytes, bytes]
    mark: str


_FORMS = {
    Format.JSON: _Form(json_of, (b"content-type", Format.JSON.encode()), "j"),
    Format.MSGPACK: _Form(msgpack_of, (b"content-type", Format.MSGPACK.encode()), "m"),
    Format.PACKED: _Form(packed_of, (b"content-type", Format.PACKED.encode()), "b"),
}
_JSON = _FORMS[Format.JSON]
_VARY, _CACHE = (b"vary", b"accept"), (b"cache-control", b"private, no-cache")


@lru_cache(maxsize=256)
def _form_of(accept: bytes) -> _Form:
    return _FORMS[format_of(accept)]


@dataclass(frozen=True, slots=True)
class Limits:
    """The default age of a fresh list, and how many requests are answered at once, or wait for a computation."""

    max_age_s: float
    at_once: int = 64
    waiters: int = 2000


@dataclass(slots=True)
class _Waited:
    """How long one request waited for its computation."""

    seconds: float = 0.0


@dataclass(slots=True)
class RetrieveAnswers:
    """The hot route: parse, serve, write."""

    serve: ServeCandidates
    clock: Clock
    limits: Limits
    metrics: RetrievalMetrics
    admission: Admission
    _waiters: int = field(default=0, init=False)

    async def __call__(self, scope: AsgiScope, _receive: Receive) -> HotAnswer:
        """Answer one request; what is wrong with it is raised for the route to answer."""
        began_s, asked_at, waited = self.clock.monotonic_s(), self.clock.now_ms(), _Waited()
        segment, raw_query = segment_of(scope), scope["query_string"]
        asked = read_plain(segment, raw_query, self.limits.max_age_s)
        if asked is None:
            asked = read_query(raw_query).asked(read_user_id(segment), self.limits.max_age_s)
        accept, known = _wishes(scope["headers"])
        try:
            outcome = await self._outcome(asked, waited)
        except CursorGone as error:
            self.metrics.note_gone()
            return HotAnswer.of(_gone(error, segment, raw_query))
        self.metrics.note(outcome, self.clock.monotonic_s() - began_s, waited.seconds)
        if not isinstance(outcome, Fallback) and outcome.masking in (Masking.READY, Masking.WAITED):
            self.metrics.note_masked(outcome.head.triggered_at, outcome.head.generated_at, asked_at)
        return self._written(asked, outcome, _JSON if accept is None else _form_of(accept), known)

    async def _outcome(self, asked: PageAsked, waited: _Waited) -> Outcome:
        if asked.wait_s > 0 and self._waiters >= self.limits.waiters:
            asked = asked.without_wait()
        if not self.admission.try_enter():
            await self.admission.enter()
        try:
            return await self.serve(asked, lambda: self._aside(waited))
        finally:
            self.admission.leave()

    @contextmanager
    def _aside(self, waited: _Waited) -> Iterator[None]:
        """Who waits for a computation holds up nobody, but there may not be any number of them."""
        self._waiters += 1
        began_s = self.clock.monotonic_s()
        try:
            with self.admission.aside():
                yield
        finally:
            self._waiters -= 1
            waited.seconds = self.clock.monotonic_s() - began_s

    def _written(self, asked: PageAsked, outcome: Outcome, form: _Form, known: bytes | None) -> HotAnswer:
        tag = tag_of(outcome, self.serve.fallback.version, form.mark).encode()
        headers: RawHeaders = [form.content_type, (b"etag", tag), _VARY, _CACHE]
        if known is not None and _matches(known, tag):
            self.metrics.note_not_modified()
            return HotAnswer(304, headers[1:], b"")
        return HotAnswer(200, headers, form.write(asked.user_id, outcome))


def tag_of(outcome: Outcome, fallback_version: str, mark: str) -> str:
    """A weak tag that changes whenever the answer to one URL does, but for its age."""
    if isinstance(outcome, Fallback):
        # A bundle's version may hold what a tag may not.
        return f'W/"p-{quote(fallback_version, safe="")}-{outcome.stamp}-{mark}"'
    return f'W/"{"f" if isinstance(outcome, Fresh) else "s"}-{outcome.version}-{outcome.stamp}-{mark}"'


def _matches(known: bytes, tag: bytes) -> bool:
    """Whether If-None-Match names this tag; weakly, as RFC 9110 wants it."""
    opaque = tag.removeprefix(b"W/")
    return any(one.strip().removeprefix(b"W/") in (opaque, b"*") for one in known.split(b","))


def _wishes(headers: RawHeaders) -> tuple[bytes | None, bytes | None]:
    """Accept and If-None-Match."""
    accept = known = None
    for name, value in headers:
        if name == b"accept":
            accept = value if accept is None else accept + b"," + value
        elif name == b"if-none-match":
            known = value if known is None else known + b"," + value
    return accept, known


def _gone(error: CursorGone, segment: bytes, raw_query: bytes) -> ErrorAnswer:
    """410 with the first page's URL; the query was read before, so it parses."""
    kept = [(name, value) for name, value in parse_qsl(raw_query.decode(), keep_blank_values=True) if name != "cursor"]
    restart = PREFIX + segment.decode("latin-1") + (f"?{urlencode(kept)}" if kept else "")
    body = {"error": type(error).__name__, "detail": str(error), "restart": restart}
    return ErrorAnswer(body, status_of(error))


def create_api(  # noqa: PLR0913 - each is built by main alone
    serve: ServeCandidates,
    hide: HideItems,
    *,
    clock: Clock,
    limits: Limits,
    store_ping: Callable[[], Awaitable[None]],
    registry: CollectorRegistry,
    door: Door | None = None,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """The app.  `store_ping` raises StoreDown while the store cannot be used."""
    metrics = RetrievalMetrics(registry)
    ready = StoreAnsweredOnce(store_ping, metrics)
    admission = Admission(limits.at_once)
    metrics.watch(admission, serve.hidden, clock)
    answers = RetrieveAnswers(serve, clock, limits, metrics, admission)
    hot = HotRoute("GET", PREFIX, TEMPLATE, answers, path_of=is_one_segment)
    app = create_app("RankGR retrieval", ready=ready, metrics=registry, door=door, lifespan=lifespan, hot=[hot])
    app.router.routes.append(DescribedRoute())

    @app.post(HIDDEN_PATH, summary="Hide items from every list, or show them again")
    async def hidden(body: HiddenBody) -> HiddenAnswer:
        return HiddenAnswer(hidden=await hide(body.hidden_from(), body.show))

    return app
