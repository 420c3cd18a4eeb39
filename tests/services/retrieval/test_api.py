"""The retrieval service over HTTP, in process: ids in paths, outcomes, cursors, and a clear 422."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from prometheus_client import CollectorRegistry
from schemathesis.checks import not_a_server_error

from contracts.errors import StoreDown
from contracts.ids import EventId, RequestId, UserId
from services.gateways.candidate_store.in_memory import MemoryCandidateStore
from services.gateways.candidate_store.port import CandidateStore, ListPage
from services.gateways.fallback.in_memory import MemoryFallbackLists
from services.gateways.hidden_items.hidden_now import HiddenNow
from services.gateways.hidden_items.in_memory import MemoryHiddenItems
from services.gateways.hidden_items.port import HiddenItems
from services.gateways.trigger_ledger.in_memory import MemoryTriggerLedger
from services.retrieval.api import HIDDEN_PATH, Limits, create_api
from services.retrieval.hide_items import HideItems
from services.retrieval.serve_candidates import ServeCandidates
from services.runtime.auth import Access, ApiKey, KeyId, Scope, digest_of, write_token
from services.runtime.clock import ManualClock
from services.runtime.gate import Door

from .lists import DownStore, made_list


def app_over(
    store: CandidateStore,
    clock: ManualClock,
    hidden: HiddenItems | None = None,
    *,
    door: Door | None = None,
    limits: Limits | None = None,
    ledger: MemoryTriggerLedger | None = None,
) -> FastAPI:
    fallback = MemoryFallbackLists(range(1, 2001), {"home": range(50, 53)})
    items = hidden or MemoryHiddenItems()
    now = HiddenNow(items, clock)
    return create_api(
        ServeCandidates(store, ledger or MemoryTriggerLedger(clock), fallback, now, clock),
        HideItems(items, now),
        clock=clock,
        limits=limits or Limits(max_age_s=900),
        door=door,
        store_ping=store.ping,
        registry=CollectorRegistry(),
    )


class StuckStore(MemoryCandidateStore):
    """A store that answers when it is told to."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.entered, self.open = asyncio.Event(), asyncio.Event()

    async def page(self, user: UserId, offset: int, limit: int) -> ListPage | None:
        self.entered.set()
        await self.open.wait()
        return await super().page(user, offset, limit)


@dataclass(frozen=True)
class GivenKeys:
    """These keys are valid."""

    keys: dict[str, ApiKey]

    def current(self) -> dict[str, ApiKey]:
        return self.keys


class FlakyStore(MemoryCandidateStore):
    """A store whose server comes and goes."""

    down = False

    async def ping(self) -> None:
        if self.down:
            raise StoreDown("no store")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryCandidateStore:
    return MemoryCandidateStore(clock)


@pytest.fixture
async def http(store: MemoryCandidateStore, clock: ManualClock) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app_over(store, clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://retrieval") as client:
        yield client


async def put(store: MemoryCandidateStore, clock: ManualClock, user: str, request: str = "r-1") -> None:
    await store.put(made_list(user, request=request, triggered_at=clock.now_ms(), generated_at=clock.now_ms()))


async def test_a_fresh_page_has_exactly_the_promised_shape(
    http: httpx.AsyncClient, store: MemoryCandidateStore, clock: ManualClock
) -> None:
    await put(store, clock, "42")
    clock.advance(0.02)
    answer = await http.get("/retrieve/42", params={"limit": 2, "request_id": "r-1", "wait_ms": 80})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert "server" not in answer.headers
    body = answer.json()
    assert body.pop("next_cursor")
    assert body == {
        "outcome": "fresh",
        "user_id": "42",
        "request_id": "r-1",
        "model_version": "m1",
        "catalog_version": "c1",
        "generated_at": clock.now_ms() - 20,
        "age_ms": 20,
        "items": [
            {"item_id": 100, "score": -100 / 128, "sid": [100, 3]},
            {"item_id": 101, "score": -101 / 128, "sid": [101, 3]},
        ],
    }


async def test_a_fallback_has_nulls_where_nothing_was_computed(http: httpx.AsyncClient) -> None:
    answer = await http.get("/retrieve/nobody?scene=home&limit=1400")
    assert answer.status_code == 200
    assert answer.json() == {
        "outcome": "fallback",
        "user_id": "nobody",
        "request_id": None,
        "model_version": None,
        "catalog_version": None,
        "generated_at": None,
        "age_ms": None,
        "items": [{"item_id": item, "score": None, "sid": None} for item in (50, 51, 52)],
        "next_cursor": None,
    }


async def test_a_page_has_fifty_items_by_default_and_1400_at_most(http: httpx.AsyncClient) -> None:
    assert len((await http.get("/retrieve/x")).json()["items"]) == 50
    assert len((await http.get("/retrieve/x?limit=1400")).json()["items"]) == 1400
    assert (await http.get("/retrieve/x?limit=1401")).status_code == 422


@pytest.mark.parametrize(
    "user", ["a/b", "/", "//", "a%2Fb", "?", "#x", "a b", "日本🛒", "u\u0301", "ü" * 128, ".", "..%"]
)
async def test_any_user_id_is_one_percent_encoded_segment(
    http: httpx.AsyncClient, store: MemoryCandidateStore, clock: ManualClock, user: str
) -> None:
    await put(store, clock, user)
    # A lone dot would be taken for a step in the tree by the client, encoded or not.
    segment = quote(user, safe="") if user != "." else "%2E"
    answer = await http.get(httpx.URL("http://retrieval", raw_path=f"/retrieve/{segment}".encode()))
    assert (answer.status_code, answer.json()["user_id"], answer.json()["outcome"]) == (200, user, "fresh")


@pytest.mark.parametrize(
    "segment",
    ["", "a%00b", "%FF", "%C3", "%ED%A0%80", quote("x" * 129), quote("ü" * 129)],
    ids=["empty", "NUL", "no UTF-8", "cut UTF-8", "surrogate", "too long", "too many code points"],
)
async def test_a_bad_user_id_is_refused_by_name(http: httpx.AsyncClient, segment: str) -> None:
    answer = await http.get(httpx.URL("http://retrieval", raw_path=f"/retrieve/{segment}".encode()))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("user_id: ")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1401", "limit"),
        ("limit=99999999999999999999999", "limit"),
        ("limit=abc", "limit"),
        ("limit=", "limit"),
        ("limit=1.5", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%D9%A1", "limit"),
        ("wait_ms=-1", "wait_ms"),
        ("wait_ms=soon", "wait_ms"),
        ("max_age_s=-1", "max_age_s"),
        ("max_age_s=nan", "max_age_s"),
        ("max_age_s=inf", "max_age_s"),
        ("max_age_s=1e300", "max_age_s"),
        ("max_age_s=old", "max_age_s"),
        ("exclude=1,,2", "exclude"),
        ("exclude=a", "exclude"),
        ("exclude=9223372036854775808", "exclude"),
        ("exclude=1.0", "exclude"),
        ("exclude=" + ",".join(map(str, range(1401))), "exclude"),
        ("request_id=", "request_id"),
        ("request_id=" + "x" * 129, "request_id"),
        ("request_id=%00", "request_id"),
        ("scene=" + "x" * 65, "scene"),
        ("cursor=" + "x" * 513, "cursor"),
        ("cursor=damaged", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=%F0%9F%9B%92", "cursor"),
        ("scene=%FF", "query"),
        ("&".join(f"a{n}=1" for n in range(65)), "query"),
    ],
)
async def test_a_bad_query_is_refused_by_the_field_s_name(http: httpx.AsyncClient, query: str, field: str) -> None:
    answer = await http.get(f"/retrieve/42?{query}")
    assert (answer.status_code, set(answer.json())) == (422, {"error", "detail"})
    assert answer.json()["detail"].startswith(f"{field}: ")


@pytest.mark.parametrize(
    "query",
    [
        "wait_ms=5001",
        "wait_ms=999999999999999999999",
        "max_age_s=1.5",
        "exclude=",
        "exclude=-5,7",
        "new=1",
        "limit=007",
    ],
)
async def test_a_generous_query_is_taken(http: httpx.AsyncClient, query: str) -> None:
    assert (await http.get(f"/retrieve/42?{query}")).status_code == 200


async def test_excluded_items_may_be_sent_in_one_field_or_several(http: httpx.AsyncClient) -> None:
    for query in ("exclude=1,2,3", "exclude=1&exclude=2&exclude=3"):
        answer = await http.get(f"/retrieve/42?limit=2&{query}")
        assert [item["item_id"] for item in answer.json()["items"]] == [4, 5]


async def test_a_cursor_whose_list_is_gone_is_410_with_a_way_to_start_again(
    http: httpx.AsyncClient, store: MemoryCandidateStore, clock: ManualClock
) -> None:
    await put(store, clock, "a/b", "r-1")
    first = (await http.get("/retrieve/a%2Fb?limit=3&exclude=101,102&scene=h%20m")).json()
    for request in ("r-2", "r-3"):
        clock.advance(1)
        await put(store, clock, "a/b", request)
    gone = await http.get(f"/retrieve/a%2Fb?limit=3&exclude=101,102&scene=h%20m&cursor={first['next_cursor']}")
    assert (gone.status_code, set(gone.json())) == (410, {"error", "detail", "restart"})
    assert gone.json()["error"] == "CursorGone"
    again = await http.get(gone.json()["restart"])
    assert (again.status_code, again.json()["request_id"]) == (200, "r-3")
    assert [item["item_id"] for item in again.json()["items"]] == [100, 103, 104]


async def test_another_user_s_cursor_is_422(
    http: httpx.AsyncClient, store: MemoryCandidateStore, clock: ManualClock
) -> None:
    await put(store, clock, "one")
    cursor = (await http.get("/retrieve/one?limit=3")).json()["next_cursor"]
    answer = await http.get(f"/retrieve/two?cursor={cursor}")
    assert (answer.status_code, answer.json()["error"]) == (422, "BadCursor")


async def test_a_store_that_is_down_is_a_fallback(clock: ManualClock) -> None:
    transport = httpx.ASGITransport(app_over(DownStore(), clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://retrieval") as client:
        answer = await client.get("/retrieve/42?request_id=r-1&wait_ms=5000")
        assert (answer.status_code, answer.json()["outcome"]) == (200, "fallback")
        assert (await client.get("/healthz")).status_code == 200
        metrics = (await client.get("/metrics")).text
    assert 'rankgr_retrieval_fallbacks_total{reason="store_down"} 1.0' in metrics
    assert "rankgr_retrieval_store_up 0.0" in metrics


async def test_who_was_never_told_what_is_hidden_says_for_how_long() -> None:
    clock = ManualClock()
    transport = httpx.ASGITransport(app_over(DownStore(), clock))
    clock.advance(130)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        metrics = (await client.get("/metrics")).text
    assert "rankgr_retrieval_hidden_known_seconds 130.0" in metrics


async def test_a_store_that_never_answered_keeps_the_service_from_being_ready(clock: ManualClock) -> None:
    transport = httpx.ASGITransport(app_over(DownStore(), clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://retrieval") as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["error"]) == (503, "StoreDown")


async def test_a_service_that_was_ready_stays_so_while_the_store_is_down_and_shows_it(clock: ManualClock) -> None:
    store = FlakyStore(clock)
    transport = httpx.ASGITransport(app_over(store, clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://retrieval") as client:
        for store.down, shown in ((False, "1.0"), (True, "0.0"), (False, "1.0")):
            assert (await client.get("/readyz")).status_code == 200
            assert f"rankgr_retrieval_store_up {shown}" in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/retrieve/42", 405),
        ("DELETE", "/retrieve/a%2Fb", 405),
        ("GET", "/retrieve/a/b", 404),
        ("GET", "/", 404),
    ],
)
async def test_other_methods_and_paths_get_the_common_error_body(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, set(answer.json())) == (status, {"error", "detail"})


@pytest.mark.parametrize("accept", ["application/json", "application/msgpack", "application/vnd.rankgr.packed"])
async def test_who_has_a_page_already_is_told_so(
    http: httpx.AsyncClient, store: MemoryCandidateStore, clock: ManualClock, accept: str
) -> None:
    for url in ("/retrieve/42?limit=3", "/retrieve/nobody"):
        await put(store, clock, "42", f"r-{clock.now_ms()}")
        first = await http.get(url, headers={"accept": accept})
        assert (first.status_code, first.headers["content-type"], first.headers["vary"]) == (200, accept, "accept")
        tag = first.headers["etag"]
        clock.advance(1)
        for known in (tag, f'"x", {tag}', tag.removeprefix("W/"), "*"):
            again = await http.get(url, headers={"accept": accept, "if-none-match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert "content-length" not in again.headers
        assert (await http.get(url, headers={"accept": accept, "if-none-match": '"x"'})).status_code == 200
        other = "application/msgpack" if accept == "application/json" else "application/json"
        assert (await http.get(url, headers={"accept": other})).headers["etag"] != tag


async def test_a_page_that_changed_is_sent(store: MemoryCandidateStore, clock: ManualClock) -> None:
    """By a new list, by its age, by a hidden item."""
    transport = httpx.ASGITransport(app_over(store, clock, MemoryHiddenItems()))
    async with httpx.AsyncClient(transport=transport, base_url="http://retrieval") as http:
        await put(store, clock, "42", "r-1")
        tags = [(await http.get("/retrieve/42")).headers["etag"]]
        clock.advance(1)
        await put(store, clock, "42", "r-2")
        tags.append((await http.get("/retrieve/42")).headers["etag"])
        assert (await http.post("/items/hidden", json={"hide": [101]})).status_code == 200
        tags.append((await http.get("/retrieve/42")).headers["etag"])
        clock.advance(901)
        tags.append((await http.get("/retrieve/42")).headers["etag"])
        assert len(set(tags)) == 4
        assert (await http.get("/retrieve/42", headers={"if-none-match": ", ".join(tags[:3])})).status_code == 200


async def test_hidden_items_leave_every_answer_at_once(store: MemoryCandidateStore, clock: ManualClock) -> None:
    transport = httpx.ASGITransport(app_over(store, clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://retrieval") as http:
        await put(store, clock, "42")

        async def first_of(user: str) -> int:
            return int((await http.get(f"/retrieve/{user}?limit=1")).json()["items"][0]["item_id"])

        change = {"hide": [100, 1], "expire": [{"item_id": 101, "at": clock.now_ms() + 60_000}]}
        answer = await http.post("/items/hidden", json=change)
        assert (answer.status_code, answer.json()) == (200, {"hidden": 3})
        assert (await first_of("42"), await first_of("nobody")) == (101, 2)
        assert "rankgr_retrieval_hidden_items 2.0" in (await http.get("/metrics")).text
        answer = await http.post("/items/hidden", json={"show": [100, 7], "hide": [2]})
        assert answer.json() == {"hidden": 3}
        assert (await first_of("42"), await first_of("nobody")) == (100, 3)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"hide": ["9"]}, "hide[0]"),
        ({"hide": [2**63]}, "hide[0]"),
        ({"show": 7}, "show"),
        ({"hide": list(range(10_001))}, "hide"),
        ({"expire": [{"item_id": 1}]}, "expire[0].at"),
    ],
)
async def test_a_bad_change_of_hidden_items_names_its_field(
    http: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await http.post("/items/hidden", json=body)
    assert (answer.status_code, answer.json()["detail"].partition(": ")[0]) == (422, field)


async def test_retrieve_and_hide_need_keys_of_their_scopes(store: MemoryCandidateStore, clock: ManualClock) -> None:
    secrets = {Scope.RETRIEVE: "one", Scope.ADMIN: "two"}
    keys = {
        scope.value: ApiKey(KeyId(scope.value), frozenset({scope}), digest_of(secret))
        for scope, secret in secrets.items()
    }
    door = Door.of(Access(GivenKeys(keys)), Scope.RETRIEVE, {HIDDEN_PATH: Scope.ADMIN})
    transport = httpx.ASGITransport(app_over(store, clock, door=door))
    async with httpx.AsyncClient(transport=transport, base_url="http://retrieval") as http:
        for held, statuses in ((None, (401, 401)), (Scope.RETRIEVE, (200, 403)), (Scope.ADMIN, (403, 200))):
            token = write_token(KeyId(held.value), secrets[held]) if held else "wrong"
            headers = {"authorization": f"Bearer {token}"}
            page = await http.get("/retrieve/42", headers=headers)
            change = await http.post("/items/hidden", json={"hide": [9]}, headers=headers)
            assert (page.status_code, change.status_code) == statuses
            assert set(page.json()) == {"error", "detail"} or page.status_code == 200
        assert (await http.get("/retrieve/42")).headers["www-authenticate"] == "Bearer"


async def test_more_requests_than_may_be_answered_at_once_wait_and_are_then_refused(clock: ManualClock) -> None:
    store = StuckStore(clock)
    transport = httpx.ASGITransport(app_over(store, clock, limits=Limits(900, at_once=1)))
    async with httpx.AsyncClient(transport=transport, base_url="http://retrieval") as http:
        first = asyncio.ensure_future(http.get("/retrieve/42"))
        await store.entered.wait()
        refused = await http.get("/retrieve/42")
        assert (refused.status_code, refused.json()["error"], refused.headers["retry-after"]) == (
            429,
            "Overloaded",
            "1",
        )
        patient = asyncio.ensure_future(http.get("/retrieve/42"))
        await asyncio.sleep(0)
        store.open.set()
        assert (await first).status_code == (await patient).status_code == 200
        metrics = (await http.get("/metrics")).text
    assert 'rankgr_http_requests_total{method="GET",route="/retrieve/{user_id}",status="429"} 1.0' in metrics
    assert "rankgr_retrieval_inside 0.0" in metrics


async def test_who_waits_for_a_computation_holds_up_nobody(clock: ManualClock) -> None:
    ledger = MemoryTriggerLedger(clock)
    await ledger.announce(UserId("42"), RequestId("r-1"), EventId("e"), clock.now_ms())
    app = app_over(MemoryCandidateStore(clock), clock, limits=Limits(900, at_once=1, waiters=1), ledger=ledger)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://retrieval") as http:
        waiting = asyncio.ensure_future(http.get("/retrieve/42?request_id=r-1&wait_ms=5000"))
        await asyncio.sleep(0)
        assert (await http.get("/retrieve/42")).status_code == 200
        # One waiter is all there may be: the next one is answered with what there is.
        assert (await http.get("/retrieve/42?request_id=r-1&wait_ms=5000")).json()["outcome"] == "fallback"
        assert not waiting.done()
        await ledger.settled(UserId("42"), RequestId("r-1"))
        assert (await waiting).status_code == 200


async def test_a_page_s_own_time_leaves_out_what_it_waited_for(clock: ManualClock) -> None:
    ledger, store = MemoryTriggerLedger(clock), MemoryCandidateStore(clock)
    await ledger.announce(UserId("42"), RequestId("r-1"), EventId("e"), clock.now_ms())
    app = app_over(store, clock, ledger=ledger)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://retrieval") as http:
        waiting = asyncio.ensure_future(http.get("/retrieve/42?request_id=r-1&wait_ms=5000"))
        await asyncio.sleep(0)
        clock.advance(0.08)
        await put(store, clock, "42")
        await ledger.settled(UserId("42"), RequestId("r-1"))
        assert (await waiting).json()["outcome"] == "fresh"
        metrics = (await http.get("/metrics")).text
    assert 'rankgr_retrieval_answer_seconds_sum{outcome="fresh"} 0.08' in metrics
    assert "rankgr_retrieval_read_seconds_sum 0.0\n" in metrics
    assert "rankgr_retrieval_read_seconds_count 1.0" in metrics


async def test_who_would_wait_is_admitted_like_anybody_else_until_it_waits(clock: ManualClock) -> None:
    store = StuckStore(clock)
    transport = httpx.ASGITransport(app_over(store, clock, limits=Limits(900, at_once=1)))
    async with httpx.AsyncClient(transport=transport, base_url="http://retrieval") as http:
        first = asyncio.ensure_future(http.get("/retrieve/42?wait_ms=80"))
        await store.entered.wait()
        assert (await http.get("/retrieve/42?wait_ms=80")).status_code == 429
        store.open.set()
        assert (await first).status_code == 200
        assert "rankgr_retrieval_inside 0.0" in (await http.get("/metrics")).text


async def test_how_much_latency_is_masked_can_be_seen(
    http: httpx.AsyncClient, store: MemoryCandidateStore, clock: ManualClock
) -> None:
    now = clock.now_ms()
    await store.put(made_list("42", triggered_at=now - 150, generated_at=now - 60))
    await http.get("/retrieve/42?request_id=r-1")
    await http.get("/retrieve/42?request_id=r-2")
    metrics = (await http.get("/metrics")).text
    for line in (
        'rankgr_retrieval_masking_total{result="ready"} 1.0',
        'rankgr_retrieval_masking_total{result="late"} 1.0',
        "rankgr_retrieval_trigger_to_candidates_seconds_sum 0.09",
        "rankgr_retrieval_trigger_to_retrieve_seconds_sum 0.15",
    ):
        assert line in metrics


async def test_user_ids_never_become_metric_labels(http: httpx.AsyncClient) -> None:
    await http.get("/retrieve/very-secret-user")
    metrics = (await http.get("/metrics")).text
    assert "very-secret-user" not in metrics
    assert 'route="/retrieve/{user_id}"' in metrics
    assert 'rankgr_retrieval_answers_total{outcome="fallback"} 1.0' in metrics


async def test_openapi_describes_the_hot_route(http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()["paths"]["/retrieve/{user_id}"]["get"]
    assert {one["name"] for one in described["parameters"]} == {
        "user_id",
        "limit",
        "cursor",
        "request_id",
        "max_age_s",
        "wait_ms",
        "exclude",
        "scene",
    }
    assert "RetrieveAnswer" in str(described["responses"]["200"])


def _app_for_fuzzing() -> FastAPI:
    clock = ManualClock()
    return app_over(MemoryCandidateStore(clock), clock)


schema = schemathesis.openapi.from_asgi("/openapi.json", _app_for_fuzzing())


@schema.parametrize()
@settings(max_examples=100, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_input_of_any_shape_breaks_the_service(case: schemathesis.Case[Any]) -> None:
    answer = case.call()
    case.validate_response(answer, checks=[not_a_server_error])
    assert answer.status_code in {200, 404, 405, 413, 422}
    assert "server" not in answer.headers
    if answer.status_code == 200:
        assert "hidden" in answer.json() or answer.json()["outcome"] == "fallback"
    else:
        assert set(answer.json()) == {"error", "detail"}
