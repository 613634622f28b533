"""Who may load a model now."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.models.load_slots import Claim, LoadSlots
from sidecar.program import PROGRAM
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import ECHO, StartSidecar
from tests.waiting import LIMIT_SECONDS, until

WAKE, LOAD, RETRY = Claim.WAKE, Claim.LOAD, Claim.RETRY


class Loads:
    """Loads that end when they are told to; *under_way* are those that hold a slot."""

    def __init__(self, count: int) -> None:
        self._slots = LoadSlots(count)
        self._tasks: list[tuple[asyncio.Task[None], asyncio.Event, Claim]] = []
        self.under_way: list[Claim] = []

    async def begin(self, *claims: Claim) -> list[Claim]:
        for claim in claims:
            end = asyncio.Event()
            self._tasks.append((asyncio.create_task(self._load(claim, end)), end, claim))
        return await self.settle()

    async def end(self, claim: Claim) -> list[Claim]:
        """End the first of *claim* that is under way."""
        next(end for task, end, each in self._tasks if each is claim and not end.is_set()).set()
        return await self.settle()

    async def cancel(self, claim: Claim) -> list[Claim]:
        """Cancel the last of *claim*, which may still wait."""
        next(task for task, _, each in reversed(self._tasks) if each is claim).cancel()
        return await self.settle()

    async def settle(self) -> list[Claim]:
        for _ in range(5):
            await asyncio.sleep(0)
        return sorted(self.under_way)

    async def _load(self, claim: Claim, end: asyncio.Event) -> None:
        async with self._slots.hold(claim):
            self.under_way.append(claim)
            try:
                await end.wait()
            finally:
                self.under_way.remove(claim)

    async def close(self) -> None:
        for task, _, _ in self._tasks:
            task.cancel()
        await asyncio.gather(*(task for task, _, _ in self._tasks), return_exceptions=True)


@asynccontextmanager
async def loads(count: int) -> AsyncIterator[Loads]:
    running = Loads(count)
    yield running
    await running.close()


@pytest.mark.parametrize(
    ("count", "asked", "begun"),
    [
        (2, [LOAD, LOAD, LOAD], [LOAD, LOAD]),
        (2, [WAKE, WAKE, WAKE], [WAKE, WAKE]),
        (2, [RETRY, RETRY], [RETRY]),  # one at a time
        (2, [RETRY, LOAD, LOAD], [LOAD, RETRY]),
        (2, [RETRY, LOAD, WAKE, WAKE], [WAKE, LOAD, RETRY]),  # one wake beside
        (2, [WAKE, RETRY, WAKE, WAKE], [WAKE, WAKE, RETRY]),
        (1, [RETRY, WAKE, LOAD], [WAKE, RETRY]),
        (1, [LOAD, WAKE, WAKE], [WAKE, LOAD]),
    ],
)
async def test_loads_are_limited_but_a_wake_gets_a_slot(
    count: int, asked: list[Claim], begun: list[Claim]
) -> None:
    async with loads(count) as running:
        assert await running.begin(*asked) == begun


async def test_wakes_load_before_unrequested_models_and_these_before_retries() -> None:
    async with loads(1) as running:
        await running.begin(WAKE)
        assert await running.begin(RETRY, LOAD, WAKE) == [WAKE]
        assert await running.end(WAKE) == [WAKE]
        assert await running.end(WAKE) == [LOAD]
        assert await running.end(LOAD) == [RETRY]


async def test_a_cancelled_load_gives_its_slot_or_turn_back() -> None:
    async with loads(1) as running:
        await running.begin(LOAD)
        await running.begin(LOAD)
        assert await running.cancel(LOAD) == [LOAD]  # it waited
        assert await running.end(LOAD) == []
        assert await running.begin(LOAD) == [LOAD]
        assert await running.cancel(LOAD) == []  # it was under way
        assert await running.begin(LOAD, LOAD) == [LOAD]


async def test_models_that_keep_failing_do_not_delay_the_waking_of_a_good_one(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    bad = ("bad_a", "bad_b", "bad_c")
    torchserve.slow = {f"{key}.mar" for key in bad}
    torchserve.archives |= torchserve.slow
    catalog = {key: ECHO | {"auto_load": False} for key in ("good", *bad)}
    torchserve.archives.add("good.mar")
    client = await start(catalog=catalog, loads_at_once=2)
    assert client.app is not None
    services = client.app[PROGRAM]
    for key in bad:
        services.models[key].suspect = True  # it has failed before
        services.operations.load(services.models[key], "it is wanted")
    await until(lambda: torchserve.slow & {f"{key}.mar" for key in torchserve.models})
    async with asyncio.timeout(LIMIT_SECONDS):
        answer = await client.post("/predict", json={"model_name": "good", "inputs": [1]})
    assert answer.status == 200
