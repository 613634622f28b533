"""A live sidecar in front of the fake TorchServe, and a real browser that may go nowhere else."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from tests.needs import need_program
from tests.sidecar.conftest import Client, client, start, torchserve
from tests.waiting import LIMIT_SECONDS

__all__ = ["client", "start", "torchserve"]

expect.set_options(timeout=1000 * LIMIT_SECONDS)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Chromium of this machine."""
    chromium = need_program("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser, client: Client) -> AsyncIterator[Page]:
    """A page whose paths are the sidecar's.  After the test, no console error, no other host."""
    url = str(client.make_url("/")).rstrip("/")
    page = await browser.new_page(base_url=url)
    page.set_default_timeout(1000 * LIMIT_SECONDS)
    wrong: list[str] = []

    def on_console(said: ConsoleMessage) -> None:
        if said.type == "error":
            wrong.append(f"{said.text} ({said.location['url']})")

    def on_request(request: Request) -> None:
        if not request.url.startswith((url, "data:", "blob:")):
            wrong.append(f"asked elsewhere: {request.url}")

    page.on("console", on_console)
    page.on("request", on_request)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    yield page
    await page.close()
    assert wrong == []
