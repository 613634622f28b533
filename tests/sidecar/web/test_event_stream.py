"""Event streams whose client leaves."""

from collections.abc import AsyncGenerator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sidecar.web.event_stream import Event, send_events
from sidecar.web.middleware import SERVER
from tests.sidecar.conftest import Client


@pytest.mark.parametrize("before_event", [0, 1])
async def test_leaving_ends_a_stream_without_an_error(client: Client, before_event: int) -> None:
    outcomes: list[bool] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        async def events() -> AsyncGenerator[Event, None]:
            for number in range(3):
                if number == before_event:
                    assert request.transport is not None
                    request.transport.abort()
                yield Event("part", b"{}")

        response, whole = await send_events(request, events())
        outcomes.append(whole)
        return response

    assert client.app is not None
    app = web.Application()
    app[SERVER] = client.app[SERVER]
    app.router.add_get("/", handler)
    async with TestClient(TestServer(app)) as other:
        with pytest.raises(aiohttp.ClientError):
            await (await other.get("/")).read()
    assert outcomes == [False]
