"""Pictures of a running console for the documents: `python -m tests.journeys.console_pictures URL [DIRECTORY]`.

The stack needs users to offer: `rankgr up` on data has them.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from playwright.async_api import Page, expect

from tests.journeys.browser import CHROMIUM, chromium, page_in

HERE = Path(__file__).parents[2] / "docs" / "console"


async def _triggered(page: Page) -> bool:
    """Trigger, and wait until all is told; whether the list was ready in its window."""
    await page.get_by_role("button", name="Trigger").click()
    await expect(page.locator("#summary")).to_contain_text("Ready")
    await expect(page.get_by_role("radio", name="without RSP")).to_be_enabled()
    return "before" in await page.locator("#summary").inner_text()


async def _request(page: Page, url: str) -> None:
    await page.goto(url)
    examples = page.locator("#example-list button")
    await expect(examples.first).to_be_visible()
    for number in range(await examples.count()):
        await examples.nth(number).click()
        await expect(page.locator("#past li").first).to_be_visible()
        await _triggered(page)
        for name, place in (("Click", 5), ("Click", 7), ("Buy", 7)):
            await page.get_by_role("button", name=f"{name}:").nth(place).click()
            await expect(page.get_by_role("button", name=f"{name} again:").first).to_be_visible()
        # A machine that is busy with other things is late now and then: the next user, then.
        if await _triggered(page):
            break
    await page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")


async def pictures(url: str, directory: Path) -> None:
    """Four files: a request on a wide screen and on a phone, its list there, the system page."""
    async with chromium() as browser:
        wide, _ = await page_in(browser, width=1360, height=1000, dark=False)
        await _request(wide, url)
        await wide.screenshot(path=directory / "request.png")
        phone, _ = await page_in(browser, width=360, height=780, dark=True)
        await _request(phone, url)
        await phone.screenshot(path=directory / "request-phone.png")
        await phone.locator(".listed").scroll_into_view_if_needed()
        await phone.evaluate("document.querySelector('.listed').scrollIntoView()")
        await phone.screenshot(path=directory / "list-phone.png")
        system, _ = await page_in(browser, width=1360, height=900, dark=False)
        await system.goto(f"{url}/system")
        await expect(system.locator("#processes-note")).to_contain_text("ready")
        await expect(system.locator("#lag")).to_contain_text("triggers")
        await system.wait_for_load_state("load")
        await system.screenshot(path=directory / "system.png")


def main() -> None:
    """Take them."""
    if CHROMIUM is None:
        raise SystemExit("console_pictures: chromium is not installed (make setup-browser)")
    directory = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE
    directory.mkdir(parents=True, exist_ok=True)
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8100"
    asyncio.run(pictures(url.rstrip("/"), directory))


if __name__ == "__main__":
    main()
