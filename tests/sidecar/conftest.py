"""The sidecar in this process, in front of a fake TorchServe that is a real HTTP server."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from blockbuster import blockbuster_ctx

from sidecar.app import create_app, create_runner
from sidecar.program import PROGRAM
from sidecar.settings import Settings
from tests.fake_torchserve import FakeTorchServe
from tests.waiting import LIMIT_SECONDS

SECRET = "a secret for tests that is long enough, certainly"
ECHO = {
    "display_name": "Echo",
    "description": "answers what it is asked",
    "source": "builtin",
    "task": "tensor",
    "handler": "tensor_handler",
    "auto_load": True,
    "inference": {"max_batch_size": 8, "queue_size": 64},
}
CATALOG = {
    "echo": ECHO | {"aliases": ["the-echo"], "model_id": "tests/Echo"},
    "other": ECHO | {"auto_load": False},
    "missing": ECHO | {"auto_load": False},
    "disabled": ECHO | {"enabled": False},
    "matrix": ECHO | {"auto_load": False, "input_rank": 2},
}

# Within which clients have to act: what waits until one is over fails its test.
CLIENT_TIMES = (
    "header_timeout_seconds",
    "body_idle_timeout_seconds",
    "keep_alive_seconds",
    "write_timeout_seconds",
)
LONGER_THAN_ANY_TEST_WAITS = 10 * LIMIT_SECONDS

Client = TestClient[Any, Any]


class SidecarServer(TestServer):
    """Serves as `python -m sidecar` does."""

    async def _make_runner(self, **_: Any) -> web.AppRunner:
        return create_runner(self.app)


StartSidecar = Callable[..., Awaitable[Client]]

MAY_BLOCK = {  # before the first request, or a small file of this machine once in a while
    "sidecar/app.py": ["create_app"],
    "sidecar/access/authenticator.py": ["build_authenticator"],
    "sidecar/access/api_keys.py": ["create", "revoke", "_look"],
    "sidecar/torchserve/key_file.py": ["read"],
}


@pytest.fixture(autouse=True)
def nothing_of_ours_blocks_the_event_loop() -> Iterator[None]:
    """A call that blocks raises BlockingError, and a test fails that would only be slow."""
    with blockbuster_ctx("sidecar") as watch:
        for function in watch.functions.values():
            for file, names in MAY_BLOCK.items():
                function.can_block_in(file, names)
        yield


@pytest.fixture
async def torchserve(tmp_path: Path) -> AsyncIterator[FakeTorchServe]:
    fake = FakeTorchServe(tmp_path)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def start(tmp_path: Path, torchserve: FakeTorchServe) -> AsyncIterator[StartSidecar]:
    """Starts a sidecar with these settings (and this catalog), ready to be asked."""
    clients: list[Client] = []

    async def start(
        *, catalog: dict[str, Any] = CATALOG, ready: bool = True, **settings: Any
    ) -> Client:
        models = tmp_path / f"models-{len(clients)}.json"
        models.write_text(json.dumps({"models": catalog}))
        values: dict[str, Any] = {
            "models_file": models,
            "state_dir": tmp_path / "var",
            "jwt_secret": SECRET,
            "inference_url": torchserve.url,
            "management_url": torchserve.url,
            "metrics_url": torchserve.url,
            "torchserve_key_file": torchserve.key_file,
            "poll_seconds": 0.05,
            "drain_seconds": 0.2,
            "page_cache_seconds": 0.0,
            **dict.fromkeys(CLIENT_TIMES, LONGER_THAN_ANY_TEST_WAITS),
        }
        app = await create_app(Settings(**values | settings))
        client: Client = TestClient(SidecarServer(app))
        await client.start_server()
        clients.append(client)
        if ready:
            await app[PROGRAM].reconciler.wait_settled()
        return client

    yield start
    for client in clients:
        await client.close()
        assert client.app is not None
        assert client.app[PROGRAM].history.illegal == 0  # no model made a step that must not be


@pytest.fixture
async def client(start: StartSidecar) -> Client:
    return await start()
