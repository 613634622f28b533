"""What is fetched from elsewhere: downloads that are bad, and keys that are slow or huge."""

import asyncio
import json
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.attacks.attack import MIB, OK, REFUSED, Attack
from tests.attacks.raw_http import exchange, request
from tests.integration.server import SECRET, Server
from tests.integration.tokens import bearer
from tests.waiting import until_awaited

END_SECONDS = 60.0
BAD_ADDRESSES = (
    "https://[::1/a.zip",
    "https://[",
    "https://a:port/a.zip",
    "https://a:99999/a.zip",
    "https://0177.0.0.1/a.zip",
    "https://0x7f.1/a.zip",
    "https://2130706433/a.zip",
    "https://[::127.0.0.1]/a.zip",
    "https://[::ffff:127.0.0.1]/a.zip",
    "https:///a.zip",
    "https://[64:ff9b::7f00:1]/a.zip",
    "https://[2002:7f00:1::]/a.zip",
    "https://192.0.0.1/a",
    "https://127.0.0.1/a.zip",
    "file:///etc/passwd",
    "https://user:pass@127.0.0.1/a.zip",
    "https://a\u2028b/a.zip",
    "https://℀/a.zip",
    "https://" + "a." * 900,
    "https://a/\0.zip",
)
DRIPS = 60  # two a second: longer than anybody is to wait
BOMB_BYTES = 6 * 1024 * MIB


def _admin(server: Server) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(server.url, headers=bearer("admin", SECRET))


async def _bad_addresses(server: Server) -> list[int]:
    """Send invalid and private addresses; the list of downloads stays readable."""
    statuses = []
    async with _admin(server) as session:
        for number, address in enumerate(BAD_ADDRESSES):
            order = {"source": "url", "model_id": address, "name": f"bad{number}"}
            async with session.post("/models/download", json=order) as response:
                statuses.append(response.status)
                answer = await response.json()
            if response.status == 200:
                end = await _end_of(session, answer["download_id"])
                assert end["status"] == "failed", f"{address}: {end}"
            async with session.get("/models/downloads") as response:
                assert response.status == 200, f"after {address}: {await response.text()}"
    return statuses


async def _end_of(session: aiohttp.ClientSession, download_id: str) -> dict[str, Any]:
    async def status() -> dict[str, Any]:
        async with session.get(f"/models/download/status/{download_id}") as response:
            return dict(await response.json())

    return await until_awaited(
        status, lambda shown: shown["status"] in ("completed", "failed", "cancelled"), END_SECONDS
    )


@asynccontextmanager
async def _site(handler: Callable[[web.Request], Any], port: int) -> AsyncIterator[None]:
    """A web site on *port*, whatever is asked for."""
    app = web.Application()
    app.router.add_get("/{anything:.*}", handler)
    async with TestServer(app, port=port):
        yield


SITE_PORT = 18_765
SITE = f"http://127.0.0.1:{SITE_PORT}"


async def _zip_bomb(server: Server) -> list[int]:
    """An archive of a few MB that unpacks to 6 GB; nothing of it may stay on the disk."""
    bomb = await asyncio.to_thread(_write_bomb, server.folder / "bomb.zip")

    async def serve(_: web.Request) -> web.FileResponse:
        return web.FileResponse(bomb)

    async with _site(serve, SITE_PORT), _admin(server) as session:
        order = {"source": "url", "model_id": f"{SITE}/bomb.zip", "name": "bomb"}
        async with session.post("/models/download", json=order) as response:
            answer = await response.json()
        end = await _end_of(session, answer["download_id"])
        assert end["status"] == "failed", end
    await asyncio.to_thread(bomb.unlink)
    left = await asyncio.to_thread(_bytes_in, server.folder)
    assert left < 16 * MIB, f"{left // MIB} MiB are left of a download that failed"
    return [response.status]


def _write_bomb(path: Path) -> Path:
    """Two layers would be refused sooner: one of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("config.json", json.dumps({"architectures": ["BertModel"]}))
        with archive.open("model.safetensors", "w", force_zip64=True) as file:
            for _ in range(BOMB_BYTES // (8 * MIB)):
                file.write(bytes(8 * MIB))
    return path


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def _redirect_for_ever(server: Server) -> list[int]:
    """A download that is sent round and round ends with a refusal."""

    async def serve(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{SITE}{request.path}x")

    async with _site(serve, SITE_PORT), _admin(server) as session:
        order = {"source": "url", "model_id": f"{SITE}/a.zip", "name": "round"}
        async with session.post("/models/download", json=order) as response:
            answer = await response.json()
        end = await _end_of(session, answer["download_id"])
        assert end["status"] == "failed", end
    return [response.status]


async def _dripping_keys(server: Server) -> list[int]:
    """The issuer sends its keys a byte at a time: who brings a token waits, but not for long."""

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(DRIPS):
                await response.write(b" ")
                await asyncio.sleep(0.5)
        return response

    return await _bring_tokens(server, serve)


async def _huge_keys(server: Server) -> list[int]:
    """The issuer sends 300 MB of keys."""

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(300):
                await response.write(b" " * MIB)
        return response

    return await _bring_tokens(server, serve)


async def _bring_tokens(server: Server, serve: Callable[[web.Request], Any]) -> list[int]:
    token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJzdWIiOiJhIiwiZXhwIjo5OTk5OTk5OTk5fQ.AAAA"
    data = request("GET", "/stats", f"Authorization: Bearer {token}")
    async with _site(serve, SITE_PORT):
        began = time.monotonic()
        answers = await asyncio.gather(*(exchange(server.port, data) for _ in range(5)))
        taken = time.monotonic() - began
    assert taken < 12, f"a caller waited {taken:.1f} s for the keys"
    return [answer.status for answer in answers]


DOWNLOADS = {
    "download_hosts": f"127.0.0.1:{SITE_PORT}",
    "hub_endpoint": "http://127.0.0.1:9",
    "auto_download": "off",
    "min_free_disk_mb": "1",
}
KEYS = {"jwt_jwks_url": f"{SITE}/keys"}
ATTACKS: Sequence[Attack] = (
    Attack(
        "download addresses that are none, or lead inside",
        _bad_addresses,
        attackers_see=OK | REFUSED,
        settings=DOWNLOADS,
    ),
    Attack(
        "a download that unpacks to 6 GB",
        _zip_bomb,
        attackers_see=OK,
        settings=DOWNLOADS,
        quick=False,
    ),
    Attack(
        "a download that is redirected for ever",
        _redirect_for_ever,
        attackers_see=OK,
        settings=DOWNLOADS,
        quick=False,
    ),
    Attack("an issuer that drips its keys", _dripping_keys, settings=KEYS, quick=False),
    Attack("an issuer with 300 MB of keys", _huge_keys, settings=KEYS, quick=False),
)
