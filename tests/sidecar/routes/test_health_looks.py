"""All who ask about the health of TorchServe share one look at it."""

import asyncio

from sidecar.caching.shared_look import SharedLook
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import StartSidecar
from tests.waiting import until_awaited

CROWD = 300


async def test_many_health_checks_share_few_connections_to_torchserve(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(poll_seconds=60.0)
    torchserve.pings = torchserve.most_connections = 0

    async def ask(path: str) -> int:
        return (await client.get(path)).status

    paths = ["/health", "/readyz"] * (CROWD // 2)
    assert set(await asyncio.gather(*map(ask, paths))) == {200}
    assert torchserve.pings < CROWD / 10
    assert torchserve.most_connections <= 6  # of all APIs


async def test_health_tells_soon_that_torchserve_is_gone(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(poll_seconds=60.0)
    assert (await client.get("/health")).status == 200
    await torchserve.stop()
    response = await until_awaited(
        lambda: client.get("/health"), lambda response: response.status != 200
    )
    assert (await response.json())["checks"]["inference_engine"] is False


class Engine:
    """Counts the looks at it; they wait for *may_answer*."""

    def __init__(self) -> None:
        self.looks = 0
        self.may_answer = asyncio.Event()

    async def look(self) -> int:
        self.looks += 1
        number = self.looks
        await self.may_answer.wait()
        return number


async def test_a_health_look_is_shared_until_it_expires() -> None:
    engine, now = Engine(), [0.0]
    shared = SharedLook(engine.look, seconds=0.5, clock=lambda: now[0])
    asked = [asyncio.create_task(shared.get()) for _ in range(50)]
    await asyncio.sleep(0)
    engine.may_answer.set()
    assert set(await asyncio.gather(*asked)) == {1}
    now[0] = 0.4
    assert await shared.get() == 1
    now[0] = 0.5
    assert await shared.get() == 2


async def test_a_client_that_leaves_does_not_cancel_a_shared_look() -> None:
    engine = Engine()
    shared = SharedLook(engine.look, seconds=0.5)
    first = asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    second = asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    first.cancel()
    engine.may_answer.set()
    assert await second == 2
