"""A model hub for tests: a real HTTP server that speaks as much of the hub's protocol as its
client uses.  `tests/sidecar/downloads/test_hub.py` checks it with that client.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

LARGE = (".safetensors", ".bin")  # kept by git-lfs: their sha256 is known
Rewrite = Callable[[dict[str, Any]], dict[str, Any]]


class FakeHub:
    """Repositories of files in memory, each at one commit.

    *cut_after* breaks connections off after so many bytes of a body, *cuts* times.  While
    `hold` is in force, bodies stop after their first bytes.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.pipelines: dict[str, str] = {}
        self.cuts = 0
        self.cut_after = 200_000
        self.asked: list[tuple[str, str, str | None]] = []  # method, path, Range
        self.tokens: set[str | None] = set()
        self.redirect_to: str | None = None
        self.listed: Rewrite = lambda info: info
        self.spoil = False
        self._gate = asyncio.Event()
        self._gate.set()
        self._server = TestServer(self._app())

    async def start(self) -> None:
        await self._server.start_server()

    async def stop(self) -> None:
        self.release()
        await self._server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.port}"

    def add(self, model_id: str, files: Mapping[str, bytes], pipeline: str | None = None) -> str:
        """Its commit."""
        self.repositories[model_id] = dict(files)
        if pipeline is not None:
            self.pipelines[model_id] = pipeline
        return self.commit(model_id)

    def commit(self, model_id: str) -> str:
        digest = hashlib.sha1(model_id.encode())
        for name, data in sorted(self.repositories[model_id].items()):
            digest.update(name.encode() + data)
        return digest.hexdigest()

    def hold(self) -> None:
        """Bodies stop after their first bytes, until `release`."""
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    def gets(self, name: str) -> list[str | None]:
        """The Range of each GET of the file *name*, in order."""
        return [
            asked for method, path, asked in self.asked if method == "GET" and path.endswith(name)
        ]

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/models/{id:.+}/revision/{revision}", self._info)
        app.router.add_get("/api/models/{id:.+}/tree/{revision}", self._tree)
        app.router.add_get("/{id:.+}/resolve/{revision}/{name:.+}", self._file)
        app.router.add_get("/files/{name:.+}", self._plain)
        app.router.add_get("/api/models/{id:.+}", self._info)
        return app

    def _note(self, request: web.Request) -> None:
        self.asked.append((request.method, request.path, request.headers.get("Range")))
        self.tokens.add(request.headers.get("Authorization"))

    async def _info(self, request: web.Request) -> web.Response:
        self._note(request)
        model_id = request.match_info["id"]
        if model_id not in self.repositories:
            return _missing("RepoNotFound")
        if request.match_info.get("revision", "main") not in ("main", self.commit(model_id)):
            return _missing("RevisionNotFound")
        files = self.repositories[model_id]
        info = {
            "id": model_id,
            "sha": self.commit(model_id),
            "pipeline_tag": self.pipelines.get(model_id),
            "tags": [],
            "siblings": [_sibling(name, data) for name, data in files.items()],
            "cardData": {"license": "apache-2.0", "language": ["en"]},
        }
        return web.json_response(self.listed(info))

    async def _tree(self, request: web.Request) -> web.Response:
        self._note(request)
        files = self.repositories[request.match_info["id"]]
        entries = [{"type": "file", "path": name, **_entry(data)} for name, data in files.items()]
        return web.json_response(entries)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        if self.redirect_to is not None:
            raise web.HTTPFound(self.redirect_to)
        model_id, name = request.match_info["id"], request.match_info["name"]
        data = self.repositories.get(model_id, {}).get(name)
        if data is None:
            return _missing("EntryNotFound")
        return await self._send(request, data, {"X-Repo-Commit": self.commit(model_id)})

    async def _plain(self, request: web.Request) -> web.StreamResponse:
        """A file that is in no repository: the one of the name in repository ``files``."""
        self._note(request)
        if self.redirect_to is not None:
            raise web.HTTPFound(self.redirect_to)
        return await self._send(request, self.repositories["files"][request.match_info["name"]], {})

    async def _send(
        self, request: web.Request, data: bytes, headers: dict[str, str]
    ) -> web.StreamResponse:
        tag = f'"{hashlib.sha256(data).hexdigest()}"'
        wanted = request.http_range.start or 0
        if request.headers.get("If-Range", tag) != tag:
            wanted = 0
        body = data[wanted:]
        if self.spoil:
            body = bytes(len(body))
        response = web.StreamResponse(
            status=206 if wanted else 200,
            headers=headers | {"ETag": tag, "X-Linked-Etag": tag, "X-Linked-Size": str(len(data))},
        )
        if wanted:
            response.headers["Content-Range"] = f"bytes {wanted}-{len(data) - 1}/{len(data)}"
        response.content_length = len(body)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        await self._write(request, response, body)
        return response

    async def _write(self, request: web.Request, response: web.StreamResponse, body: bytes) -> None:
        first = body[: self.cut_after]
        await response.write(first)
        if self.cuts > 0 and len(body) > len(first):
            self.cuts -= 1
            assert request.transport is not None
            request.transport.close()
            return
        await self._gate.wait()
        await response.write(body[len(first) :])


def _sibling(name: str, data: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    sibling: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": blob}
    if name.endswith(LARGE):
        digest = hashlib.sha256(data).hexdigest()
        sibling["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 130}
    return sibling


def _entry(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "oid": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}


def _missing(code: str) -> web.Response:
    return web.Response(
        status=404,
        headers={"X-Error-Code": code, "Content-Type": "application/json"},
        body=json.dumps({"error": code}),
    )
