"""A sidecar in its own process, in front of a fake TorchServe: quick to start."""

import asyncio
import json
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fake_torchserve import FakeTorchServe, Refuse
from tests.integration.server import Server
from tests.live.world import FAULTY


class StandIn:
    """The server in a `with` block; it speaks with the model `faulty`, whose answers are sums."""

    def __init__(self, folder: Path, **settings: str) -> None:
        (folder / "models.json").write_text(json.dumps({"models": {"faulty": FAULTY}}))
        self._fake = FakeTorchServe(folder, _sum)
        self._fake.archives = {"faulty.mar"}
        self._folder, self._settings = folder, settings
        self._server: Server | None = None

    async def __aenter__(self) -> Server:
        await self._fake.start()
        urls = {f"{api}_url": self._fake.url for api in ("inference", "management", "metrics")}
        self._server = Server(
            self._folder,
            torchserve="external",
            models_file=str(self._folder / "models.json"),
            torchserve_key_file=str(self._fake.key_file),
            **urls | self._settings,
        )
        if "jwt_jwks_url" in self._settings:  # one source of keys only
            del self._server.environment["SIDECAR_JWT_SECRET"]
        self._server.start()
        await asyncio.to_thread(self._server.wait_ready)
        return self._server

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._server.process is not None
        if self._server.process.poll() is None:
            await asyncio.to_thread(self._server.stop)
        await self._fake.stop()


def _sum(numbers: Any) -> Any:
    try:
        return float(sum(numbers[1:]))
    except TypeError:
        raise Refuse(400, "the input must be a list of numbers") from None
