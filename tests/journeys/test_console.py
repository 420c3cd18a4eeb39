"""The console in a real browser, in front of a whole stack: one `rankgr up` behind API keys, on a bundle store."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from services.bundles.promote import PromoteBundle
from services.gateways.bundle_store.chosen import open_bundle_store
from services.gateways.bundle_store.port import Channel, now_at
from services.runtime.auth import KeyId, Scope
from services.runtime.clock import SystemClock
from services.runtime.key_file import new_key
from tests.titled_bundle import with_title

from .browser import CHROMIUM, chromium, page_in
from .processes import Started, any_ports

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.journey,
    pytest.mark.redis,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)"),
]

START_WITHIN_S = 240.0
HOSTILE = '<img src=x onerror="document.title=1"><script>alert(1)</script>'
NOT_KNOWN = "\u2013"
SIZES = [(360, 780), (1280, 900)]


@dataclass(frozen=True, slots=True)
class Console:
    """Where it answers, keys of a visitor and of an operator, the store, and its two versions."""

    url: str
    visitor: str
    admin: str
    store: Path
    older: str
    served: str
    items: list[int]


@pytest.fixture(scope="module")
def console(micro_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A running stack whose most popular item has a hostile title."""
    place = tmp_path_factory.mktemp("console")
    keys, now = place / "keys.json", datetime.now(UTC)

    def key(name: str, *scopes: Scope) -> str:
        return new_key(keys, KeyId(name), f"secret{name}", name="", scopes=scopes, now=now)[1]

    reading = (Scope.TRIGGER, Scope.RETRIEVE, Scope.METRICS)
    own = key("own", *reading, Scope.ENGINE)
    visitor, admin = key("visitor", *reading), key("admin", *reading, Scope.ADMIN)
    catalog = pq.read_table(micro_bundle / "catalog.parquet")
    popular = catalog["popularity"].to_pylist()
    items: list[int] = catalog["item_id"].to_pylist()
    titled = with_title(micro_bundle, place / "titled", items[popular.index(max(popular))], HOSTILE)
    promote = PromoteBundle(open_bundle_store(str(place / "store")), SystemClock(), "test", 10)
    older, served = (promote(bundle).bundle.version for bundle in (micro_bundle, titled))
    told = {
        **any_ports(),
        "RANKGR_API_KEYS_FILE": str(keys),
        "RANKGR_API_KEY": own,
        "RANKGR_BUNDLE_STORE": str(place / "store"),
    }
    arguments = ("-m", "services.cli", "up", "--bundle", titled, "--state", place / "state")
    up = Started.start_python(place / "up", told, *arguments)
    try:
        until = time.monotonic() + START_WITHIN_S
        while not up.is_up():
            assert time.monotonic() < until, up.err
            time.sleep(0.2)
        yield Console(up.urls()["console"], visitor, admin, place / "store", older, served, items)
    finally:
        up.end()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as one:
        yield one


async def opened(page: Page, console: Console, path: str = "/") -> None:
    """The page, its key entered."""
    await page.goto(f"{console.url}{path}")
    await page.get_by_label("Key", exact=True).fill(console.visitor)
    await page.get_by_role("button", name="Use this key").click()
    await expect(page.locator("#served code")).to_be_visible()


async def triggered(page: Page, outcome: str) -> None:
    """A trigger, and its outcome, known to its end."""
    await page.get_by_role("button", name="Trigger").click()
    await expect(page.locator("#outcome")).to_have_text(outcome)
    if outcome == "fresh":
        await expect(page.get_by_role("radio", name="without RSP")).to_be_enabled()


async def violations(page: Page) -> list[str]:
    """What axe finds."""
    found: dict[str, Any] = (await Axe().run(page)).response
    return [f"{one['id']}: {node['html']}" for one in found["violations"] for node in one["nodes"]]


async def fits(page: Page) -> bool:
    """Whether nothing is wider than the window."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


async def with_two_lists(page: Page, user: str) -> None:
    """A stranger clicks what is popular, gets a list, buys of it, and gets another one."""
    await page.get_by_label("User id").fill(user)
    await triggered(page, "fallback")
    for place in range(3):
        await page.get_by_role("button", name="Click:").nth(0).click()
        await expect(page.get_by_role("button", name="Click again:")).to_have_count(place + 1)
    await triggered(page, "fresh")
    await page.get_by_role("button", name="Buy:").nth(8).click()
    await expect(page.get_by_role("button", name="Buy again:")).to_have_count(1)
    await triggered(page, "fresh")


async def test_a_user_is_typed_triggers_clicks_and_sees_the_list_move(browser: Browser, console: Console) -> None:
    page, complaints = await page_in(browser, width=1280, height=900, dark=False)
    await opened(page, console)
    await with_two_lists(page, "ann/§ 1")
    await expect(page.locator("#past li")).to_have_count(4)
    timeline = page.locator("#timeline")
    for part in ("Trigger accepted", "In the stream", "Taken", "Prefill", "Level 1", "Level 2", "Stored", "Retrieved"):
        await expect(timeline.get_by_role("listitem").filter(has_text=part)).to_contain_text("ms")
    rows = page.locator("#list tbody tr")
    await expect(rows).to_have_count(20)
    moves = await page.locator("#list .moved:not(.same)").count()
    assert moves > 0
    for column in ("SID", "Score", "L1 IAP", "L1 RSP", "L2 IAP", "L2 RSP"):
        assert await page.locator(f'td[data-label="{column}"]').first.inner_text() not in ("", NOT_KNOWN)
    with_rsp = await page.locator("#list .id").all_inner_texts()
    await page.get_by_text("without RSP", exact=True).click()
    await expect(page.get_by_role("columnheader", name="Rank with RSP")).to_be_visible()
    assert await page.locator("#list .id").all_inner_texts() != with_rsp
    assert complaints == []


async def test_titles_are_text_whatever_they_hold(browser: Browser, console: Console) -> None:
    page, complaints = await page_in(browser, width=1280, height=900, dark=False)
    await opened(page, console)
    await page.get_by_label("User id").fill("<b>bob</b>")
    await triggered(page, "fallback")
    await expect(page.locator("#list .title").filter(has_text="<script>")).to_have_text(HOSTILE)
    await page.get_by_role("button", name="Click:").first.click()
    await expect(page.locator("#past .title").first).to_have_text(HOSTILE)
    assert await page.locator("#list img, #list script, #past img, #past script").count() == 0
    assert await page.title() == "Request · RankGR console"
    assert complaints == []


async def test_everything_can_be_done_by_keyboard(browser: Browser, console: Console) -> None:
    page, complaints = await page_in(browser, width=1280, height=900, dark=True)
    await page.goto(console.url)
    await expect(page.get_by_label("Key", exact=True)).to_be_focused()
    await page.keyboard.type(console.visitor)
    await page.keyboard.press("Enter")
    await expect(page.locator("#served code")).to_be_visible()
    await page.get_by_label("User id").focus()
    await page.keyboard.type("cleo")
    await page.keyboard.press("Enter")
    await expect(page.locator("#outcome")).to_have_text("fallback")
    await page.get_by_role("button", name="Click:").first.focus()
    await page.keyboard.press("Enter")
    again = page.get_by_role("button", name="Click again:")
    await expect(again).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Buy:").first).to_be_focused()
    assert complaints == []


async def test_the_system_page_shows_every_process_and_hides_and_shows_an_item(
    browser: Browser, console: Console
) -> None:
    page, complaints = await page_in(browser, width=1280, height=900, dark=False)
    await opened(page, console, "/system")
    await expect(page.locator("#processes-note")).to_have_text("All 6 are ready.")
    for panel in ("Processes", "Pages served", "Stream lag", "Bundles", "Dead letters", "Hidden items"):
        await expect(page.get_by_role("region", name=panel)).to_be_visible()
    await expect(page.locator("#lag")).to_contain_text("triggers → precompute")
    item = str(console.items[0])
    await page.get_by_label("Item ids").fill(item)
    await page.get_by_role("button", name="Hide").click()
    await page.get_by_label("Admin key").fill(console.admin)
    await page.get_by_role("dialog").get_by_role("button", name="Hide").click()
    await expect(page.locator("#hidden .id")).to_have_text(item)
    await page.get_by_role("button", name="again").click()
    await page.get_by_label("Admin key").fill(console.admin)
    await page.get_by_role("dialog").get_by_role("button", name="Show").click()
    await expect(page.get_by_role("status").filter(has_text="0 items hidden.")).to_be_visible()
    assert complaints == []


async def test_promoting_wants_an_admin_key_and_a_yes(browser: Browser, console: Console) -> None:
    page, complaints = await page_in(browser, width=1280, height=900, dark=False)
    await opened(page, console, "/system")
    promote = page.get_by_role("button", name=f"Promote {console.older}")
    store = open_bundle_store(str(console.store))
    await promote.click()
    await page.get_by_role("button", name="Cancel").click()
    assert complaints == []
    await promote.click()
    await page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    await expect(page.locator(".said")).to_have_text("Refused: this key lacks the scope: admin")
    assert now_at(store.moves(Channel.LATEST)) == console.served
    # The browser itself writes a refused request down.
    assert [one for one in complaints if "403" not in one] == []
    await promote.click()
    await page.get_by_label("Admin key").fill(console.admin)
    await page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    await expect(page.locator(".said")).to_have_text(f"{console.older} is latest now.")
    assert now_at(store.moves(Channel.LATEST)) == console.older
    await page.get_by_role("button", name="Roll back").click()
    await page.get_by_label("Admin key").fill(console.admin)
    await page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    await expect(page.locator(".said")).to_have_text(f"latest is {console.served} again.")
    assert now_at(store.moves(Channel.LATEST)) == console.served


async def test_a_wrong_key_is_said_and_asked_for_again(browser: Browser, console: Console) -> None:
    page, _complaints = await page_in(browser, width=360, height=780, dark=False)
    await page.goto(console.url)
    await page.get_by_label("Key", exact=True).fill("rgk_nobody_secret")
    await page.get_by_role("button", name="Use this key").click()
    await expect(page.get_by_role("dialog")).to_contain_text("That key is not known here.")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#summary")).to_contain_text("Without a key there is nothing to see.")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES, ids=["phone", "wide"])
async def test_both_pages_are_accessible_and_fit(
    browser: Browser, console: Console, width: int, height: int, dark: bool
) -> None:
    page, complaints = await page_in(browser, width=width, height=height, dark=dark)
    await page.goto(console.url)
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await violations(page) == []
    await opened(page, console)
    assert await violations(page) == []
    await with_two_lists(page, f"dan-{width}-{dark}")
    assert await violations(page) == []
    assert await fits(page)
    await page.get_by_role("link", name="System").click()
    await expect(page.locator("#processes-note")).to_have_text("All 6 are ready.")
    await expect(page.locator("#bundles code").first).to_be_visible()
    assert await violations(page) == []
    assert await fits(page)
    await page.get_by_role("button", name=f"Promote {console.older}").click()
    assert await violations(page) == []
    assert complaints == []
