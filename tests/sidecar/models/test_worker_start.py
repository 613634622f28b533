"""Workers are awaited while they start, also by a busy machine."""

from sidecar.models.worker_start import WorkerStart
from sidecar.torchserve.client import ModelState, TorchServeClient
from sidecar.torchserve.failures import EngineGone, EngineSlow, failure_of
from sidecar.torchserve.key_file import KeyFile
from sidecar.torchserve.worker_log import WorkerLog
from tests.fake_torchserve import FakeTorchServe


class HurriedClient(TorchServeClient):
    """Does not wait for the first *slow* answers."""

    slow = 2

    async def describe(
        self, model: str, version: str | None = None, *, customized: bool = False
    ) -> ModelState | None:
        if self.slow:
            self.slow -= 1
            raise EngineSlow("GET: TimeoutError")
        return await super().describe(model, version, customized=customized)


async def test_a_look_that_is_not_answered_in_time_ends_no_load(
    torchserve: FakeTorchServe,
) -> None:
    torchserve.archives = {"echo.mar"}
    url, keys = torchserve.url, KeyFile(torchserve.key_file)
    async with HurriedClient(url, url, url, keys) as client:
        await client.register("echo.mar", "echo")
        known = await WorkerStart(client, WorkerLog(None)).start("echo", 1, 1, seconds=60)
    assert len(known.ready) == 1
    assert client.slow == 0


def test_only_a_call_that_takes_too_long_is_slow() -> None:
    assert isinstance(failure_of(TimeoutError(), "GET", "/models/echo"), EngineSlow)
    refused = failure_of(ConnectionRefusedError(), "GET", "/models/echo")
    assert isinstance(refused, EngineGone)
    assert not isinstance(refused, EngineSlow)
