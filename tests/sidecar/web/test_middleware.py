"""Errors in one format, request ids, and web pages elsewhere."""

from typing import Any

import pytest

from tests.sidecar.conftest import Client, StartSidecar


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/predict", 405), ("POST", "/health", 405)],
)
async def test_aiohttps_own_errors_have_our_format(
    client: Client, method: str, path: str, status: int
) -> None:
    response = await client.request(method, path)
    body = await response.json()
    assert response.status == status == body["status_code"]
    assert body["success"] is False
    assert isinstance(body["error"], str)
    assert isinstance(body["detail"], str)
    if status == 405:
        assert response.headers["Allow"] in body["detail"]


async def test_a_sane_request_id_is_kept_and_any_other_is_replaced(client: Client) -> None:
    given = {"X-Request-ID": "abc-123"}
    assert (await client.get("/livez", headers=given)).headers["X-Request-ID"] == "abc-123"
    bad = {"X-Request-ID": "a b<script>"}
    assert len((await client.get("/livez", headers=bad)).headers["X-Request-ID"]) == 32


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}],
)
async def test_a_web_page_elsewhere_is_refused_on_every_route(
    client: Client, headers: dict[str, str]
) -> None:
    for path in ("/", "/health", "/livez", "/docs", "/nowhere"):
        response = await client.get(path, headers=headers)
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_an_allowed_origin_may_read_the_answers(start: StartSidecar) -> None:
    client = await start(allowed_origins=("https://page.example",))
    origin = {"Origin": "https://page.example"}
    response = await client.get("/livez", headers=origin)
    assert response.headers["Access-Control-Allow-Origin"] == "https://page.example"
    preflight = await client.options(
        "/predict", headers=origin | {"Access-Control-Request-Method": "POST"}
    )
    assert preflight.status == 204
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]


async def test_a_preflight_of_another_page_is_refused(client: Client) -> None:
    headers: dict[str, Any] = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
    }
    assert (await client.options("/predict", headers=headers)).status == 403
