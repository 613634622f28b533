"""What can be done to a model at TorchServe: loaded, put to sleep, scaled, unloaded, looked at."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from sidecar.catalog.entry_files import find_fault
from sidecar.models.history import Change
from sidecar.models.load_slots import Claim, LoadSlots
from sidecar.models.model import Model, Runtime
from sidecar.models.states import State, may_follow
from sidecar.models.worker_start import LoadFailed, WorkerStart
from sidecar.schemas.autoscaler import EventType
from sidecar.schemas.model_spec import ModelSpec
from sidecar.settings import Settings
from sidecar.telemetry.gpus import Gpus
from sidecar.telemetry.system import resident_bytes
from sidecar.torchserve.client import ModelState, TorchServeClient
from sidecar.torchserve.failures import EngineGone, EngineRefused
from sidecar.torchserve.worker_log import WorkerLog

log = logging.getLogger(__name__)

NO_ARCHIVE_RETRY_SECONDS = 5.0  # one may be built any moment


class ModelLoader:
    """Each method leaves the model in a state that is true, whatever happens."""

    def __init__(
        self,
        client: TorchServeClient,
        gpus: Gpus,
        settings: Settings,
        worker_log: WorkerLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._workers = WorkerStart(client, worker_log, clock)
        self._gpus = gpus
        self._slots = LoadSlots(settings.loads_at_once)
        self._models_file = settings.models_file
        self._clock = clock

    def batch_size_for(self, model: Model) -> int:
        """Return how many requests TorchServe itself puts together for *model*."""
        return self._client.batch_size_for(model.spec)

    async def describe(self, model: Model) -> ModelState | None:
        """Return what TorchServe says of *model*; None when it is not registered.

        Raises EngineGone or EngineRefused.
        """
        return await self._client.describe(model.key)

    async def take_over(
        self, model: Model, known: ModelState, reason: str, change: Change | None = None
    ) -> None:
        """Set *model* to what TorchServe reports, unless an operation begins meanwhile."""
        pids = {worker.pid for worker in known.ready}
        runtime, held, rss = model.runtime, dict[int, float](), dict[int, int]()
        if known.ready:
            if not model.spec.is_own and (runtime is None or pids.difference(model.pids)):
                runtime = await self._describe_runtime(model.key) or runtime
            held = await asyncio.to_thread(self._gpus.held_mb, pids)
            rss = await asyncio.to_thread(resident_bytes, pids)
        others = model.operation not in (None, asyncio.current_task())
        if others or not (model.state is State.READY or may_follow(model.state, State.READY)):
            return
        model.crashes.observe(pids, self._clock())
        if known.ready:
            version, workers = known.model_version, known.ready
            model.mark_ready(version, workers, runtime, held, reason, rss_bytes=rss, change=change)
        else:
            model.mark_away(known.model_version, known.workers)

    async def bring_up(self, model: Model, reason: str) -> None:
        """Load *model*, or wake it; then all who wait are answered, or all are refused."""
        async with self._slots.hold(_claim(model)):
            began, waking = self._clock(), model.state is State.WAKING
            since = await self._workers.log_end()
            try:
                known = await self._bring_up(model)
            except EngineGone as exc:
                log.warning("%s: TorchServe went away while it was loaded: %s", model.key, exc)
            except EngineRefused as exc:
                await self._load_refused(model, exc, began, since)
            except LoadFailed as exc:
                await self._fail(model, str(exc), began)
            else:
                model.ready_at = self._clock()
                taken = model.ready_at - began
                change = Change("wake" if waking else "load", 0, model.target_workers, taken)
                await self.take_over(model, known, reason, change)

    async def _bring_up(self, model: Model) -> ModelState:
        key, inference = model.key, model.spec.inference
        known = await self._client.describe(key)
        foreign = known is not None and known.batch_size != self._client.batch_size_for(model.spec)
        if foreign or (known is not None and model.suspect):
            await self._unregister(model)
            known = None
        if known is None:
            await self._client.register(model.spec.archive_name(key), key, model.spec)
        target = model.target_workers
        most = max(target, inference.workers.max)
        return await self._workers.start(key, target, most, inference.startup_timeout_seconds)

    async def _unregister(self, model: Model) -> None:
        """Unregister every version: TorchServe lets the default go last."""
        model.renew()
        default = await self._client.describe(model.key)
        for each in await self._client.versions(model.key):
            if default is not None and each.model_version != default.model_version:
                await self._client.unregister(model.key, each.model_version)
        await self._client.unregister(model.key)

    async def _load_refused(
        self, model: Model, refusal: EngineRefused, began: float, since: int
    ) -> None:
        if refusal.status == 404:
            fault = await asyncio.to_thread(self._find_fault, model.spec)
            model.mark_available(fault or "its archive is not in the model store")
            model.retry.postpone(self._clock(), NO_ARCHIVE_RETRY_SECONDS)
        elif refusal.status != 409:  # 409: registered already, which was the aim
            error = await self._workers.why_refused(model.key, refusal, since)
            await self._fail(model, error, began)

    def _find_fault(self, spec: ModelSpec) -> str | None:
        return find_fault(spec, self._models_file.resolve().parent)

    async def _fail(self, model: Model, error: str, began: float) -> None:
        """Mark *model* as failed, and stop TorchServe from restarting its workers forever."""
        model.mark_failed(error, change=Change("failure", 0, 0, self._clock() - began))
        try:
            await self._client.scale(model.key, 0, 0)
        except (EngineGone, EngineRefused) as exc:
            log.debug("%s: nothing to scale down: %s", model.key, exc)

    async def put_to_sleep(self, model: Model, reason: str) -> None:
        """End its workers once nothing of it is in flight; not if somebody asks meanwhile."""
        began, before = self._clock(), len(model.workers)
        async with paused(model, reason):
            if len(model.dispatcher.queue):
                return
            try:
                await self._client.scale(model.key, 0, 0)
            except (EngineGone, EngineRefused) as exc:
                log.warning("%s: cannot be put to sleep: %s", model.key, exc)
                return
            taken = self._clock() - began
            model.mark_idle(reason, change=Change("scale_to_zero", before, 0, taken))

    async def unload(self, model: Model, reason: str) -> None:
        """Take it out of TorchServe once nothing of it is in flight; a request loads it again."""
        began, before = self._clock(), len(model.workers)
        async with paused(model, reason):
            await self._unload(model)
            taken = self._clock() - began
            model.mark_archived(reason, change=Change("unload", before, 0, taken))

    async def take_out(self, model: Model) -> None:
        """Take a model that is being removed out of TorchServe, once nothing is in flight."""
        began, before = self._clock(), len(model.workers)
        await model.dispatcher.until_none_in_flight()
        await self._unload(model)
        change = Change("unload", before, 0, self._clock() - began)
        model.record_change(change, "it is removed")

    async def _unload(self, model: Model) -> None:
        try:
            await self._unregister(model)
        except (EngineGone, EngineRefused) as exc:
            log.warning("%s: cannot be unloaded: %s", model.key, exc)

    async def scale(self, model: Model, workers: int, reason: str) -> None:
        """Scale it to *workers*, not zero; return to the former number when they do not start.

        Raises EngineGone or EngineRefused when not even that can be told to TorchServe.
        """
        before = len(model.workers)
        model.target_workers = workers
        model.changed_at = self._clock()
        if workers >= before:
            await self._scale(model, before, workers, reason)
            return
        async with paused(model, reason):  # a worker that is stopped drops its job
            await self._scale(model, before, workers, reason)

    async def _scale(self, model: Model, before: int, workers: int, reason: str) -> None:
        began, seconds = self._clock(), model.spec.inference.startup_timeout_seconds
        try:
            known = await self._workers.scale(model.key, workers, seconds)
        except (EngineGone, EngineRefused) as exc:
            log.warning("%s: cannot be scaled to %d: %s", model.key, workers, exc)
        except LoadFailed as exc:
            log.warning("%s: cannot be scaled to %d: %s", model.key, workers, exc)
            model.target_workers = max(before, 1)
            await self._client.scale(model.key, model.target_workers, model.target_workers)
        else:
            event: EventType = "scale_up" if workers > before else "scale_down"
            change = Change(event, before, workers, self._clock() - began)
            await self.take_over(model, known, reason, change)

    async def _describe_runtime(self, key: str) -> Runtime | None:
        """Return what the handler of *key* says of itself; None from a custom handler."""
        try:
            model = await self._client.describe(key, customized=True)
            said = model.customized_metadata if model else None
            if isinstance(said, str):
                return msgspec.json.decode(said, type=Runtime)
            return msgspec.convert(said, Runtime)
        except (EngineGone, EngineRefused, msgspec.DecodeError) as exc:
            log.warning("%s: says nothing of itself: %s", key, exc)
            return None


@asynccontextmanager
async def paused(model: Model, reason: str) -> AsyncIterator[None]:
    """Hold back the jobs of *model* within this block; requests wait.

    Nothing is in flight inside.  Afterwards it is READY again, unless the block moved it to another
    state.  A model that is not READY sends no jobs anyway.
    """
    if model.state is State.READY:
        model.pause(reason)
    try:
        await model.dispatcher.until_none_in_flight()
        yield
    finally:
        if model.state is State.PAUSED:
            model.resume(reason)


def _claim(model: Model) -> Claim:
    if model.suspect:
        return Claim.RETRY
    return Claim.WAKE if model.state is State.WAKING else Claim.LOAD
