"""The lives of some models under random events, in front of the fake TorchServe.

Whatever happens in whatever order: no model makes a step that the table does not have, its
gate is where its state says, at most one operation of it is under way, and in the end every
request has its answer or its refusal, and every wanted model can be used.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sidecar.catalog.catalog import Catalog
from sidecar.errors import Draining, ModelNotFound, ModelNotReady, NoRoom, SidecarError
from sidecar.models.autoscaler import Autoscaler
from sidecar.models.eviction import Budget
from sidecar.models.history import History
from sidecar.models.loader import ModelLoader
from sidecar.models.model import DYING_AGAIN_SECONDS, Model
from sidecar.models.operations import Operations
from sidecar.models.reconciler import Reconciler
from sidecar.models.registry import ModelRegistry
from sidecar.models.room import MemoryRoom
from sidecar.models.states import MISSING, Gate, State, may_follow
from sidecar.models.versions import ModelVersions
from sidecar.scheduling.dispatcher import DispatcherFactory
from sidecar.scheduling.entry import Reply
from sidecar.scheduling.scheduler import InferenceRequest, Scheduler
from sidecar.schemas.autoscaler import AutoscalerConfigBody
from sidecar.schemas.model_spec import Inference, ModelSpec, Workers
from sidecar.settings import Settings
from sidecar.telemetry.gpus import Gpus
from sidecar.telemetry.prometheus import Metrics
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.engine_watch import EngineWatch
from sidecar.torchserve.failures import EngineGone, EngineRefused
from sidecar.torchserve.key_file import KeyFile
from sidecar.torchserve.worker_log import WorkerLog
from tests.fake_torchserve import FakeTorchServe
from tests.waiting import LIMIT_SECONDS, let_the_loop_turn

SPEC = ModelSpec(
    display_name="One of them",
    description="",
    source="builtin",
    task="tensor",
    handler="tensor_handler",
    idle_seconds=5.0,
    inference=Inference(
        max_batch_size=4, queue_size=64, workers=Workers(1, 2), startup_timeout_seconds=5
    ),
)
DOWNLOADED = msgspec.structs.replace(SPEC, source="huggingface", model_id="tests/fetched")
SPECS = {
    "wanted": msgspec.structs.replace(SPEC, auto_load=True),
    "pinned": msgspec.structs.replace(SPEC, auto_load=True, pinned=True),
    "asked": SPEC,
    "optional": msgspec.structs.replace(SPEC, optional=True),
    "disabled": msgspec.structs.replace(SPEC, enabled=False),
}
KEYS = [*SPECS, "fetched"]
IN_MEMORY_AT_MOST = 2
AT_REST = MISSING | {State.ARCHIVED, State.IDLE, State.READY}
RETRY_SECONDS = 400.0  # longer than any pause between two tries

Happening = Callable[["World", str, int], Awaitable[None]]
Happenings = list[tuple[str, str, int]]


class World:
    """All parts that make up the life of a model, a fake TorchServe, and a clock in our hand."""

    def __init__(self, torchserve: FakeTorchServe, client: TorchServeClient, store: Path) -> None:
        self.now = 1000.0
        self.torchserve = torchserve
        self.requests: list[asyncio.Task[Any]] = []
        self.changes: set[asyncio.Task[None]] = set()
        self.paused: dict[Model, asyncio.Task[None] | None] = {}  # by which operation, last
        configured, log = Settings(model_store=store, loads_at_once=1), WorkerLog(None)
        self.history, nudged, clock = History(), asyncio.Event(), self.clock
        factory = DispatcherFactory(configured, client, Metrics(), clock)
        self.models = ModelRegistry(Catalog(SPECS), factory, self.history, nudged, clock)
        loader, engine = (
            ModelLoader(client, Gpus(), configured, log, clock),
            EngineWatch(client, clock),
        )
        room = MemoryRoom(self.models, Budget(models=IN_MEMORY_AT_MOST))
        self.operations = Operations(
            self.models, loader, ModelVersions(client, store, log), room, engine, nudged, clock
        )
        self.reconciler = Reconciler(
            self.models, self.operations, loader, engine, configured, nudged, clock
        )
        self.autoscaler = Autoscaler(
            self.models, self.operations, room, AutoscalerConfigBody(), 1.0, clock
        )
        self.scheduler = Scheduler(self.models)

    def clock(self) -> float:
        return self.now

    def free(self, key: str) -> Model | None:
        """The model, unless something is being done to it."""
        model = self.models.get(key)
        return model if model is not None and model.operation is None else None

    def in_background(self, work: Awaitable[None]) -> None:
        async def bearing_refusals() -> None:
            with suppress(SidecarError, EngineGone, EngineRefused):
                await work

        task = asyncio.create_task(bearing_refusals())
        self.changes.add(task)
        task.add_done_callback(self.changes.discard)

    def check(self) -> None:
        """What must be true at every moment."""
        assert self.history.illegal == 0
        assert not self.torchserve.dropped
        names = [task.get_name() for task in asyncio.all_tasks() if not task.done()]
        operations = Counter(name.rpartition(" ")[2] for name in names)
        assert all(operations[key] <= 1 for key in KEYS), names
        for model in self.models.enabled:
            assert (model.dispatcher.workers > 0) == (model.gate is Gate.OPEN), model.state
            assert (model.dispatcher.closed) == (model.gate is Gate.CLOSED)
            assert model.gate is not Gate.CLOSED or not len(model.dispatcher.queue), model.state
            if model.state is State.PAUSED:
                self.paused[model] = model.operation
            elif model.state is State.READY and model.operation and not model.operation.done():
                assert self.paused.get(model) is not model.operation, "jobs are sent too soon"
        assert self.models.keys() == self.models.catalog.keys()

    @property
    def at_rest(self) -> bool:
        busy = any(model.operation is not None for model in self.models.values())
        on_the_way = any(
            model.state not in AT_REST
            or model.busy
            or (model.wanted and model.state is State.AVAILABLE)  # its load is tried again
            for model in self.models.enabled
        )
        asked = not all(task.done() for task in self.requests)
        return not (busy or on_the_way or asked or self.changes)

    async def settle(self) -> None:
        """Let TorchServe be well, and time pass, until nothing more happens."""
        fake = self.torchserve
        fake.away, fake.broken, fake.slow, fake.workers_status = False, set(), set(), "READY"
        fake.archives = {f"{key}.mar" for key in KEYS}
        fake.refusals.clear()
        for model in fake.models.values():
            model.pop("workersStatus", None)
            model.pop("readyAtMost", None)
        fake.release()
        async with asyncio.timeout(LIMIT_SECONDS):
            for looks in range(10_000):
                self.now += RETRY_SECONDS if looks % 10 == 0 else 0.1
                await self.reconciler.look()
                self.check()
                if self.at_rest and self.reconciler.settled and looks > 1:
                    return
                await let_the_loop_turn()
        raise AssertionError(f"it does not settle: {[*self.models.items()]}")


async def request(world: World, key: str, count: int) -> None:
    async def ask() -> list[Reply | SidecarError]:
        model = world.models.get(key)
        if model is None or model.state in MISSING:
            raise ModelNotFound(key)
        world.operations.prepare(model, key)
        work = InferenceRequest(
            key, [b"1"] * count, priority=5, timeout=60, arrived=time.monotonic()
        )
        return await world.scheduler.run(work)

    world.requests.append(asyncio.create_task(ask()))


async def leave(world: World, key: str, count: int) -> None:
    for task in world.requests[-count:]:
        task.cancel()


async def look(world: World, key: str, count: int) -> None:
    world.in_background(world.reconciler.look())


async def rest(world: World, key: str, count: int) -> None:
    """Until nothing is being done to one model, or it takes too long."""
    model = world.models.get(key)
    if model is not None and model.operation is not None:
        await asyncio.wait({model.operation}, timeout=0.05 * count)


async def wake(world: World, key: str, count: int) -> None:
    model = world.free(key)
    if model is not None and model.state in (State.IDLE, State.ARCHIVED, State.FAILED):
        with suppress(NoRoom):
            world.operations.wake(model, "an operator asked")


async def sleep(world: World, key: str, count: int) -> None:
    model = world.free(key)
    if model is not None and model.state is State.READY:
        world.operations.put_to_sleep(model, "an operator asked")


async def unload(world: World, key: str, count: int) -> None:
    model = world.free(key)
    if model is not None and model.state in (State.READY, State.IDLE, State.FAILED):
        world.operations.unload(model, "an operator asked")


async def scale(world: World, key: str, count: int) -> None:
    model = world.free(key)
    if model is not None and model.state is State.READY:
        world.operations.scale(model, 1 + count % 2, "an operator asked")


async def think(world: World, key: str, count: int) -> None:
    world.autoscaler.think()


async def install(world: World, key: str, count: int) -> None:
    refusal = ModelNotReady("it is replaced")
    world.in_background(world.operations.install(key, DOWNLOADED, refusal))


async def remove(world: World, key: str, count: int) -> None:
    async def delete() -> None:
        await let_the_loop_turn(50 * count)
        if count == 3:
            raise ModelNotReady("the disk does not let go of its files")

    model = world.models.get(key)
    if model is not None and (world.models.catalog.is_own(key) or key == "optional"):
        world.in_background(world.operations.remove(model, ModelNotReady("it is gone"), delete))


async def begin_download(world: World, key: str, count: int) -> None:
    model = world.models.get(key)
    if model is not None and model.state is State.AVAILABLE:
        model.mark_downloading()


async def end_download(world: World, key: str, count: int) -> None:
    """One of three brings no model."""
    model = world.models.get(key)
    if model is not None and model.state is State.DOWNLOADING:
        if count == 3:
            model.mark_available()
        else:
            world.in_background(world.operations.install(key, model.spec, ModelNotReady("now")))


async def make_default(world: World, key: str, count: int) -> None:
    model = world.models.get(key)
    if model is not None and model.state in (State.READY, State.FAILED):
        world.in_background(_make_default(world, model))


async def _make_default(world: World, model: Model) -> None:
    await world.operations.make_default(model, "1.0")
    await world.reconciler.refresh(model)


async def replace(world: World, key: str, count: int) -> None:
    """The archive that lies there is none: what is loaded stays."""
    model = world.free(key)
    if model is not None and model.state is State.READY:
        world.operations.replace(model)


async def pass_time(world: World, key: str, count: int) -> None:
    world.now += 10.0**count / 5


async def kill_workers(world: World, key: str, count: int) -> None:
    """TorchServe starts them again, as other processes."""
    model = world.torchserve.models.get(key)
    if model is not None:
        model["atWork"].clear()
        model["pids"] = [pid + 1_000_000 for pid in model["pids"]]
        model["workersStatus"] = "UNLOADING"


async def revive_workers(world: World, key: str, count: int) -> None:
    model = world.torchserve.models.get(key)
    if model is not None:
        model.pop("workersStatus", None)


async def break_archive(world: World, key: str, count: int) -> None:
    getattr(world.torchserve, "broken" if count == 1 else "slow").add(f"{key}.mar")


async def lose_archive(world: World, key: str, count: int) -> None:
    world.torchserve.archives.discard(f"{key}.mar")


async def mend_archive(world: World, key: str, count: int) -> None:
    world.torchserve.archives.add(f"{key}.mar")
    world.torchserve.broken.discard(f"{key}.mar")
    world.torchserve.slow.discard(f"{key}.mar")


async def fail_job(world: World, key: str, count: int) -> None:
    world.torchserve.refusals += [(500, "InternalServerException")] * count


async def hold_jobs(world: World, key: str, count: int) -> None:
    world.torchserve.hold()


async def release_jobs(world: World, key: str, count: int) -> None:
    world.torchserve.release()


async def end_torchserve(world: World, key: str, count: int) -> None:
    world.torchserve.away = True
    world.torchserve.models.clear()
    world.torchserve.others.clear()
    world.reconciler.restart()


async def start_torchserve(world: World, key: str, count: int) -> None:
    world.torchserve.away = False
    world.reconciler.restart()


async def scale_by_hand(world: World, key: str, count: int) -> None:
    """Somebody else tells TorchServe to end all workers."""
    model = world.torchserve.models.get(key)
    if model is not None:
        model |= {"minWorkers": 0, "maxWorkers": 0, "pids": []}
        model["atWork"].clear()


HAPPENINGS: Mapping[str, Happening] = {
    each.__name__: each
    for each in (
        request,
        leave,
        look,
        rest,
        wake,
        sleep,
        unload,
        scale,
        think,
        install,
        remove,
        begin_download,
        end_download,
        make_default,
        replace,
        pass_time,
        kill_workers,
        revive_workers,
        break_archive,
        lose_archive,
        mend_archive,
        fail_job,
        hold_jobs,
        release_jobs,
        end_torchserve,
        start_torchserve,
        scale_by_hand,
    )
}
OFTEN = [
    *(["request"] * 10 + ["look"] * 5 + ["rest"] * 5 + ["hold_jobs", "release_jobs", "wake"] * 3),
    *["sleep", "unload", "scale", "install", "remove", "pass_time", "think"] * 2,
]
OFTEN_CALLED = ["wanted", "asked", "fetched"] * 3
happenings = st.lists(
    st.tuples(
        st.sampled_from([*OFTEN, *HAPPENINGS]),
        st.sampled_from([*OFTEN_CALLED, *KEYS]),
        st.integers(1, 3),
    ),
    min_size=30,
    max_size=60,
)


@asynccontextmanager
async def world_in(folder: Path) -> AsyncIterator[World]:
    torchserve = FakeTorchServe(folder)
    torchserve.archives = {f"{key}.mar" for key in KEYS}
    await torchserve.start()
    try:
        url = torchserve.url
        async with TorchServeClient(url, url, url, KeyFile(torchserve.key_file)) as client:
            world = World(torchserve, client, folder / "store")
            yield world
            await world.operations.stop(Draining("the test is over"))
            world.check()
            assert {model.state for model in world.models.values()} == {State.REMOVED}
    finally:
        await torchserve.stop()


async def live(world: World, story: Happenings, *, begun: bool) -> None:
    if begun:
        await world.operations.install("fetched", DOWNLOADED, ModelNotReady("it is new"))
        await world.settle()
    for name, key, count in story:
        await HAPPENINGS[name](world, key, count)
        for _ in range(5 * count):
            await asyncio.sleep(0)
            world.check()
    await world.settle()
    for key in ("asked", "wanted"):  # neither is stuck
        world.now += RETRY_SECONDS  # no circuit breaker is open any more
        await request(world, key, 1)
        async with asyncio.timeout(LIMIT_SECONDS):
            (answer,) = await world.requests[-1]
        assert isinstance(answer, Reply), (key, answer)
        await world.settle()
    outcomes = await asyncio.gather(*world.requests, return_exceptions=True)
    assert all(isinstance(each, list | SidecarError | asyncio.CancelledError) for each in outcomes)


@settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.generate],  # a story is not told twice alike: its steps take real time
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(story=happenings, begun=st.booleans())
async def test_random_events_cause_no_illegal_transition_and_no_unanswered_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, story: Happenings, begun: bool
) -> None:
    async with world_in(tmp_path) as world:
        await live(world, story, begun=begun)
        for step in world.history.transitions:
            assert may_follow(step.before, step.after), step
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert not [text for text in told if text.endswith("failed")]  # by a bug, and was survived


async def test_a_worker_that_restarts_has_as_long_as_a_load(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        await world.settle()
        wanted, limit = world.models["wanted"], SPEC.inference.startup_timeout_seconds
        await kill_workers(world, "wanted", 1)
        for waited, state in ((limit - 1, State.RESTARTING), (2, State.FAILED)):
            world.now += waited
            await world.reconciler.look()
            assert wanted.state is state


async def test_a_worker_that_dies_again_as_it_restarts_is_given_up_sooner(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        await world.settle()
        wanted, inference = world.models["wanted"], Inference(startup_timeout_seconds=60)
        wanted.change_spec(msgspec.structs.replace(wanted.spec, inference=inference))
        for waited, state in (
            (1, State.RESTARTING),
            (1, State.RESTARTING),
            (DYING_AGAIN_SECONDS - 3, State.RESTARTING),
            (2, State.FAILED),
        ):
            world.now += waited
            await kill_workers(world, "wanted", 1)
            await world.reconciler.look()
            assert wanted.state is state


async def test_an_illegal_transition_is_an_error(tmp_path: Path) -> None:
    async with world_in(tmp_path) as world:
        model = world.models["disabled"]
        with pytest.raises(RuntimeWarning, match="disabled: no model goes from disabled to ready"):
            model.resume("it must not be")
        assert world.history.illegal == 1
        assert model.state is State.DISABLED
        world.history.illegal = 0
