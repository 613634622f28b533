"""examples/page.html in a real browser, from an address of its own."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, expect

from tests.fake_torchserve import FakeTorchServe, Spoken
from tests.integration.server import ROOT
from tests.sidecar.conftest import ECHO, StartSidecar
from tests.sidecar.routes.test_speech_refusals import SPEAKING
from tests.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.browser


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    """Where the page is served: not by the sidecar."""
    app = web.Application()
    app.router.add_static("/", ROOT / "examples")
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def example(
    browser: Browser, origin: str, start: StartSidecar, torchserve: FakeTorchServe
) -> Page:
    """The page, whose field says where the sidecar is."""
    torchserve.archives |= {"example.mar", "hibari_tts.mar"}
    torchserve.answer = lambda value: (
        value if isinstance(value, list) else Spoken(bytes(48000))
    )  # a second, of each sentence
    models: dict[str, Any] = {"example": ECHO, "hibari_tts": SPEAKING | {"auto_load": True}}
    client = await start(catalog=models, allowed_origins=(origin,))
    page = await browser.new_page()
    page.set_default_timeout(1000 * LIMIT_SECONDS)
    await page.goto(f"{origin}/page.html")
    await page.get_by_label("Server").fill(str(client.make_url("")).rstrip("/"))
    return page


async def test_the_page_infers_speaks_and_says_what_is_wrong(example: Page) -> None:
    numbers, speech = example.locator("#numbers"), example.locator("#speech")
    await numbers.get_by_role("button").click()
    await expect(numbers.locator("output")).to_have_text("1, 2, 3, 4, 5, 6, 7, 8, 9, 10")
    await speech.get_by_role("button").click()
    await expect(speech.locator("output")).to_have_text("2.0 seconds")
    await numbers.get_by_label("Ten numbers").fill("one")
    await numbers.get_by_role("button").click()
    await expect(numbers.locator("output")).to_contain_text("inputs[0].data")
