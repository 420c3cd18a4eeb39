"""Debian's chromium, driven by playwright: one empty profile each, and nothing that it fetches by itself."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

CHROMIUM = shutil.which("chromium")
_ARGUMENTS = (
    "--headless",
    # It is root's in a container, and opens nothing but pages of ours.
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# A busy machine may need long for what takes a moment.
WITHIN_MS = 60_000
expect.set_options(timeout=WITHIN_MS)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """It runs inside the block."""
    assert CHROMIUM is not None
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS), timeout=WITHIN_MS)
        try:
            yield browser
        finally:
            await browser.close()


async def page_in(browser: Browser, *, width: int, height: int, dark: bool) -> tuple[Page, list[str]]:
    """A page of a visitor who has never been here, and what its console complains of."""
    context: BrowserContext = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", locale="en-GB"
    )
    context.set_default_timeout(WITHIN_MS)
    page = await context.new_page()
    complaints: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints
