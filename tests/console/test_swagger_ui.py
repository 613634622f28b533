"""/docs in a real browser: every route is there, and its form works."""

import json

import pytest
from playwright.async_api import Locator, Page, expect

from sidecar.routes.groups import GROUPS, ROUTES
from sidecar.web.route import Route, RouteGroup
from tests.sidecar.web.test_examples import EXAMPLES, client

__all__ = ["client"]

pytestmark = pytest.mark.browser


async def open_operation(page: Page, operation: str) -> Locator:
    """Open /docs, unfold *operation* and make its form ready."""
    await page.goto("/docs")
    block = page.locator(f'.opblock[id$="-{operation}"]')
    await block.locator(".opblock-summary-control").click()
    await block.get_by_role("button", name="Try it out").click()
    return block


async def execute(block: Locator) -> tuple[str, str]:
    """Send the form.  Return the status and the body that the page shows."""
    await block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table .response")
    await expect(answer).to_be_visible()
    status = await answer.locator(".response-col_status").inner_text()
    body = await answer.locator("pre code").first.inner_text()
    return status.split()[0], body


async def test_every_route_is_rendered_in_the_order_that_a_newcomer_needs(page: Page) -> None:
    await page.goto("/docs")
    tags = page.locator(".opblock-tag")
    await expect(tags).to_have_count(len(GROUPS))
    assert [await tag.get_attribute("data-tag") for tag in await tags.all()] == [
        group.name for group in GROUPS
    ]
    operations = sum(len(route.methods) for route in ROUTES)
    await expect(page.locator(".opblock")).to_have_count(operations)
    for route in ROUTES:
        described = page.get_by_text(route.summary, exact=True)
        summary = page.locator(".opblock-summary", has=described)
        methods = summary.locator(".opblock-summary-method")
        await expect(methods).to_have_text(list(route.methods))
    await expect(page.locator(".errors-wrapper")).to_have_count(0)


async def test_health_can_be_tried_out(page: Page) -> None:
    status, body = await execute(await open_operation(page, "health"))
    assert status == "200"
    assert json.loads(body)["healthy"] is True


async def test_a_prediction_can_be_tried_out(page: Page) -> None:
    block = await open_operation(page, "predict")
    request = {"model_name": "echo", "inputs": [1, 2, 3]}
    await block.locator("textarea.body-param__text").fill(json.dumps(request))
    status, body = await execute(block)
    assert status == "200"
    assert json.loads(body)["result"] == [1, 2, 3]


# Of each group one: how a page fills and sends a form is the same for all, and each example is sent
# by `tests/sidecar/web/test_examples.py`.
SENT = list(
    {
        next(group.name for group in GROUPS if route in group.routes): route
        for route in EXAMPLES
        if route.measured_as is not None
    }.values()
)


async def test_examples_work_as_they_are_when_they_are_sent_from_the_page(page: Page) -> None:
    await page.goto("/docs")
    await fold_everything(page)
    statuses: dict[str, str] = {}
    for group in GROUPS:
        sent = [route for route in SENT if route in group.routes]
        if sent:
            await fold(page, group)
            statuses |= await send_examples(page, sent)
            await fold(page, group)
    assert statuses == {route.path: "200" for route in SENT}


async def fold_everything(page: Page) -> None:
    """Fold all groups and the schemas: with each click, the page renders all that is unfolded."""
    await page.locator("section.models button").first.click()
    for group in GROUPS:
        await fold(page, group)
    await expect(page.locator(".opblock")).to_have_count(0)


async def fold(page: Page, group: RouteGroup) -> None:
    """Fold *group*, or unfold it if it is folded."""
    await page.locator(f'.opblock-tag[data-tag="{group.name}"]').click()


async def send_examples(page: Page, routes: list[Route]) -> dict[str, str]:
    """Send the form of each of *routes* as the page fills it.

    Returns each path's status, with the body if it is not 200.
    """
    statuses: dict[str, str] = {}
    for route in routes:
        block = page.locator(f'.opblock[id$="-{route.handler.__name__}"]')
        await block.locator(".opblock-summary-control").click()
        await block.get_by_role("button", name="Try it out").click()
        status, body = await execute(block)
        statuses[route.path] = status if status == "200" else f"{status} {body}"
        await block.locator(".opblock-summary-control").click()
    return statuses
