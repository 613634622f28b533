"""Scheduler and dispatcher in front of the fake TorchServe: every reply exactly once."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest

from sidecar.errors import (
    EngineUnavailable,
    InputRefused,
    InternalError,
    ModelNotReady,
    OutOfMemory,
    QueueFull,
    RequestTimedOut,
    SidecarError,
    Unavailable,
    WorkerDied,
)
from sidecar.scheduling.dispatcher import Dispatcher, DispatcherFactory
from sidecar.scheduling.entry import Entry, Reply
from sidecar.scheduling.entry_queue import EntryQueue
from sidecar.scheduling.scheduler import InferenceRequest, Scheduler
from sidecar.schemas.model_spec import Inference, ModelSpec
from sidecar.settings import Settings
from sidecar.telemetry.prometheus import Metrics
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.key_file import KeyFile
from tests.fake_torchserve import FakeTorchServe, Refuse
from tests.waiting import LIMIT_SECONDS, until

SPEC = ModelSpec(
    display_name="Echo",
    description="",
    source="builtin",
    task="tensor",
    handler="tensor_handler",
    inference=Inference(max_batch_size=4, queue_size=32, job_timeout_seconds=5),
)


class Lane(NamedTuple):
    """A model, as far as the scheduler knows it."""

    dispatcher: Dispatcher


def nobody_listens() -> None:
    """What a dispatcher tells of is of no interest here."""


@asynccontextmanager
async def opened(client: TorchServeClient, spec: ModelSpec = SPEC) -> AsyncIterator[Dispatcher]:
    """The dispatcher of a model with one READY worker."""
    factory = DispatcherFactory(Settings(), client, Metrics())
    dispatcher = factory.build("echo", spec, on_trouble=nobody_listens, on_waiting=nobody_listens)
    dispatcher.open(workers=1)
    yield dispatcher
    dispatcher.close(EngineUnavailable("the test is over"))
    await dispatcher.cancel_jobs()


@pytest.fixture
async def dispatcher(torchserve: FakeTorchServe) -> AsyncIterator[Dispatcher]:
    url, keys = torchserve.url, KeyFile(torchserve.key_file)
    async with TorchServeClient(url, url, url, keys) as client:
        await client.register("echo.mar", "echo")
        await client.scale("echo", 1, 1)
        async with opened(client) as dispatcher:
            yield dispatcher
            torchserve.release()


@pytest.fixture
def scheduler(dispatcher: Dispatcher) -> Scheduler:
    return Scheduler({"echo": Lane(dispatcher)})


def work(
    *values: Any, priority: int = 0, timeout: float = 5.0, alone: bool = False
) -> InferenceRequest:
    bodies = [msgspec.json.encode(value) for value in values]
    return InferenceRequest("echo", bodies, priority, timeout, time.monotonic(), alone)


def results(replies: list[Reply | SidecarError]) -> list[Any]:
    return [
        msgspec.json.decode(reply.body) if isinstance(reply, Reply) else type(reply)
        for reply in replies
    ]


async def blocked(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> asyncio.Task[list[Reply | SidecarError]]:
    """Occupies the only slot with a job that is held at TorchServe."""
    torchserve.hold()
    task = asyncio.create_task(scheduler.run(work("first")))
    while not torchserve.jobs:
        await asyncio.sleep(0)
    return task


async def test_a_job_that_is_cancelled_before_it_begins_refuses_its_inputs(
    scheduler: Scheduler, dispatcher: Dispatcher, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    asked = asyncio.create_task(scheduler.run(work("first")))
    while not dispatcher.requests_running:
        await asyncio.sleep(0)
    await dispatcher.cancel_jobs()
    async with asyncio.timeout(LIMIT_SECONDS):
        (outcome,) = await asked
    assert isinstance(outcome, Unavailable)


class CountedQueue(EntryQueue):
    """Counts how often somebody goes through it."""

    passes = 0

    def __iter__(self) -> Iterator[Entry]:
        self.passes += 1
        return super().__iter__()


async def test_requests_are_counted_in_one_pass_over_the_queue(
    scheduler: Scheduler, dispatcher: Dispatcher, torchserve: FakeTorchServe
) -> None:
    queue = CountedQueue(max_entries=9, max_bytes=1000, ageing_seconds=1)
    dispatcher.queue = queue
    first = await blocked(scheduler, torchserve)
    waiting = [asyncio.create_task(scheduler.run(work(number))) for number in range(3)]
    await until(lambda: len(queue) == 3)
    assert (dispatcher.requests_waiting, dispatcher.requests_running) == (3, 1)
    assert queue.passes == 1
    torchserve.release()
    await asyncio.gather(first, *waiting)


async def test_a_lone_input_is_sent_at_once_and_alone(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    assert results(await scheduler.run(work(7))) == [7]
    assert torchserve.jobs == [[7]]


async def test_inputs_that_arrive_during_a_job_form_the_next(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    first = await blocked(scheduler, torchserve)
    crowd = [asyncio.create_task(scheduler.run(work(number))) for number in range(6)]
    await asyncio.sleep(0)
    torchserve.release()
    await asyncio.gather(first, *crowd)
    assert torchserve.jobs == [["first"], [0, 1, 2, 3], [4, 5]]
    assert [results(task.result()) for task in crowd] == [[number] for number in range(6)]


async def test_a_higher_priority_overtakes_what_waits(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    first = await blocked(scheduler, torchserve)
    low = [asyncio.create_task(scheduler.run(work(f"low {n}"))) for n in range(4)]
    await asyncio.sleep(0)
    high = asyncio.create_task(scheduler.run(work("high", priority=10)))
    await asyncio.sleep(0)
    torchserve.release()
    await asyncio.gather(first, high, *low)
    assert torchserve.jobs[1][0] == "high"


async def test_an_urgent_input_has_a_small_job_where_jobs_are_long(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    torchserve.forward_ms = 100.0
    first = await blocked(scheduler, torchserve)
    low = [asyncio.create_task(scheduler.run(work(f"low {n}"))) for n in range(4)]
    high = asyncio.create_task(scheduler.run(work("high", priority=10)))
    await asyncio.sleep(0)
    torchserve.release()
    await asyncio.gather(first, high, *low)
    assert torchserve.jobs[1:] == [["high"], [f"low {n}" for n in range(4)]]


async def test_an_input_with_batching_off_is_alone_in_its_job(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    first = await blocked(scheduler, torchserve)
    others = [asyncio.create_task(scheduler.run(work(n, alone=n == 1))) for n in range(3)]
    await asyncio.sleep(0)
    torchserve.release()
    await asyncio.gather(first, *others)
    assert torchserve.jobs == [["first"], [0], [1], [2]]


async def test_a_batch_is_answered_in_order_item_by_item(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    def answer(value: Any) -> Any:
        if value == 3:
            raise Refuse(400, "three is not a number I like")
        return value * 10

    torchserve.answer = answer
    replies = await scheduler.run(work(*range(10)))
    assert results(replies) == [0, 10, 20, InputRefused, 40, 50, 60, 70, 80, 90]


@pytest.mark.parametrize(
    ("status", "error"), [(500, InternalError), (503, OutOfMemory), (400, InputRefused)]
)
async def test_an_items_status_becomes_its_own_error(
    scheduler: Scheduler, torchserve: FakeTorchServe, status: int, error: type[SidecarError]
) -> None:
    def answer(_: Any) -> Any:
        raise Refuse(status, "no")

    torchserve.answer = answer
    assert results(await scheduler.run(work(1))) == [error]


async def test_a_request_waits_no_longer_than_its_timeout(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    first = await blocked(scheduler, torchserve)
    with pytest.raises(RequestTimedOut):
        await scheduler.run(work("late", timeout=0.02))
    torchserve.release()
    await first
    assert results(await scheduler.run(work("next"))) == ["next"]
    assert ["late"] not in torchserve.jobs


async def test_a_timeout_ends_the_wait_and_not_the_job(
    scheduler: Scheduler, dispatcher: Dispatcher, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    with pytest.raises(RequestTimedOut):
        await scheduler.run(work("slow", timeout=0.05))
    assert dispatcher.in_flight == 1
    torchserve.release()
    assert results(await scheduler.run(work("next"))) == ["next"]


async def test_queued_inputs_of_a_departed_client_are_not_run(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    first = await blocked(scheduler, torchserve)
    left = asyncio.create_task(scheduler.run(work("left")))
    await asyncio.sleep(0)
    left.cancel()
    torchserve.release()
    await first
    await scheduler.run(work("next"))
    assert torchserve.jobs == [["first"], ["next"]]


async def test_a_full_queue_refuses_at_once(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    first = await blocked(scheduler, torchserve)
    waiting = [asyncio.create_task(scheduler.run(work(n))) for n in range(32)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await scheduler.run(work("one too many"))
    torchserve.release()
    assert len(await asyncio.gather(first, *waiting)) == 33


async def test_the_members_of_a_job_that_killed_its_worker_are_tried_alone(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    first = await blocked(scheduler, torchserve)
    crowd = [asyncio.create_task(scheduler.run(work(number))) for number in range(3)]
    await asyncio.sleep(0)
    torchserve.refusals = [None, (500, "InternalServerException")]
    torchserve.release()
    await asyncio.gather(first, *crowd)
    assert torchserve.jobs == [["first"], [0, 1, 2], [0], [1], [2]]
    assert [results(task.result()) for task in crowd] == [[0], [1], [2]]


async def test_an_input_that_kills_its_worker_twice_is_refused(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    torchserve.refusals = [(500, "InternalServerException")] * 2
    assert results(await scheduler.run(work("poison"))) == [WorkerDied]
    assert results(await scheduler.run(work("fine"))) == ["fine"]


async def test_repeated_failures_pause_jobs_and_refuse_new_ones(
    scheduler: Scheduler, dispatcher: Dispatcher, torchserve: FakeTorchServe
) -> None:
    torchserve.refusals = [(500, "InternalServerException")] * 5
    for _ in range(2):
        assert results(await scheduler.run(work("poison"))) == [WorkerDied]
    waits = asyncio.create_task(scheduler.run(work("waits")))  # the fifth failure is its first
    await until(lambda: len(torchserve.jobs) >= 5)
    await until(lambda: not dispatcher.in_flight)  # the fifth failure is heard
    with pytest.raises(ModelNotReady) as refused:
        await scheduler.run(work("comes"))
    assert refused.value.retry_after == 1
    assert results(await waits) == ["waits"]  # the probe, a second later
    assert results(await scheduler.run(work("fine"))) == ["fine"]


@pytest.mark.parametrize("wrong", [b"", b"not a job", b"\x00JOB\xff\xff\xff\xff{}"])
async def test_wrong_bytes_from_torchserve_are_an_internal_error(
    scheduler: Scheduler, torchserve: FakeTorchServe, wrong: bytes
) -> None:
    torchserve.wrong_bytes = wrong
    assert results(await scheduler.run(work(1))) == [InternalError]


async def test_requests_are_refused_while_torchserve_is_away(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    await torchserve.stop()
    assert results(await scheduler.run(work(1))) == [EngineUnavailable]


async def test_closing_a_model_refuses_what_waits_and_what_comes(
    scheduler: Scheduler, dispatcher: Dispatcher, torchserve: FakeTorchServe
) -> None:
    first = await blocked(scheduler, torchserve)
    waits = asyncio.create_task(scheduler.run(work("waits")))
    await asyncio.sleep(0)
    dispatcher.close(ModelNotReady("gone"))
    assert results(await waits) == [ModelNotReady]
    with pytest.raises(ModelNotReady):
        await scheduler.run(work("comes"))
    torchserve.release()
    assert results(await first) == ["first"]


async def test_requests_wait_for_a_paused_model(
    scheduler: Scheduler, dispatcher: Dispatcher, torchserve: FakeTorchServe
) -> None:
    dispatcher.hold()
    waits = asyncio.create_task(scheduler.run(work("waits")))
    async with asyncio.timeout(LIMIT_SECONDS):
        while not len(dispatcher.queue):
            await asyncio.sleep(0)
    await asyncio.sleep(0)  # the pump, which an arrival schedules, has run
    assert torchserve.jobs == []
    assert dispatcher.in_flight == 0
    dispatcher.open(workers=1)
    assert results(await waits) == ["waits"]


@pytest.mark.usefixtures("dispatcher")  # which has started a worker
async def test_a_thousand_requests_of_mixed_priority_are_each_answered_once(
    torchserve: FakeTorchServe,
) -> None:
    roomy = msgspec.structs.replace(SPEC, inference=Inference(max_batch_size=4, queue_size=1000))
    url, keys = torchserve.url, KeyFile(torchserve.key_file)
    async with (
        TorchServeClient(url, url, url, keys) as client,
        opened(client, roomy) as dispatcher,
    ):
        scheduler = Scheduler({"echo": Lane(dispatcher)})
        crowd = [scheduler.run(work(n, priority=n % 11, timeout=60)) for n in range(1000)]
        replies = await asyncio.gather(*crowd)
    assert [results(reply) for reply in replies] == [[n] for n in range(1000)]
    assert sorted(value for job in torchserve.jobs for value in job) == list(range(1000))


async def test_a_long_request_lets_a_short_one_pass(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    first = await blocked(scheduler, torchserve)
    long = msgspec.structs.replace(work(*range(8)), delay=10.0)
    others = [asyncio.create_task(scheduler.run(each)) for each in (long, work("short"))]
    await asyncio.sleep(0)
    torchserve.release()
    await asyncio.gather(first, *others)
    assert torchserve.jobs[1] == ["short", 0, 1, 2]


async def test_a_renewed_time_out_counts_anew(
    scheduler: Scheduler, torchserve: FakeTorchServe
) -> None:
    running = scheduler.start(work(1, timeout=LIMIT_SECONDS))
    await running.entries[0].reply
    running.close()
    torchserve.hold()
    renewed, sooner, later = (scheduler.start(work(2, timeout=each)) for each in (1.0, 0.5, 1.1))
    with pytest.raises(RequestTimedOut):
        await sooner.entries[0].reply
    renewed.renew()
    with pytest.raises(RequestTimedOut):
        await later.entries[0].reply
    assert not renewed.answered
    with pytest.raises(RequestTimedOut):
        await renewed.entries[0].reply
    for running in (renewed, sooner, later):
        running.close()
