"""What can be done to a model at TorchServe: brought up, put to sleep, scaled, unloaded."""

import asyncio
import logging
import time
from collections.abc import Callable

from sidecar.autoscaling.history import History
from sidecar.autoscaling.load_slots import Claim, LoadSlots
from sidecar.autoscaling.managed_model import ManagedModel
from sidecar.autoscaling.model_status import ModelStatus
from sidecar.autoscaling.runtime import describe_runtime
from sidecar.autoscaling.worker_start import LoadFailed, WorkerStart
from sidecar.schemas.autoscaler import EventType
from sidecar.telemetry.gpus import Gpus
from sidecar.torchserve.client import EngineGone, EngineRefused, ModelState, TorchServeClient

log = logging.getLogger(__name__)

NO_ARCHIVE_RETRY_SECONDS = 5.0  # one may be built any moment


class ModelOperations:
    """Each leaves the model in a state that is true, whatever happens."""

    def __init__(
        self,
        client: TorchServeClient,
        history: History,
        gpus: Gpus,
        loads_at_once: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._workers = WorkerStart(client, clock)
        self._history = history
        self._gpus = gpus
        self._slots = LoadSlots(loads_at_once)
        self._clock = clock

    async def describe(self, model: ManagedModel) -> ModelState | None:
        """What TorchServe says of it; None: it is not registered."""
        return await self._client.describe(model.key)

    async def observe(self, model: ManagedModel, known: ModelState) -> None:
        """Takes over what TorchServe says, unless something else is begun meanwhile."""
        now, pids = self._clock(), {worker.pid for worker in known.ready}
        model.crashes.saw(pids, now)
        if known.ready:
            runtime = model.status.runtime
            if runtime is None or pids.difference(model.status.pids):
                runtime = await describe_runtime(self._client, model.key) or runtime
            held = await asyncio.to_thread(self._gpus.held_mb, pids)
            if model.operation in (None, asyncio.current_task()):
                status = ModelStatus("ready", known.model_version, known.ready, runtime)
                model.is_ready(status, held, now)
            return
        if model.status.state == "ready":
            log.warning("%s: no worker is READY", model.key)
        if model.is_away(known.model_version, now) and model.status.state != "failed":
            log.error("%s: its workers do not become READY", model.key)
            model.fails("its workers do not become READY", now)

    async def bring_up(self, model: ManagedModel, reason: str) -> None:
        """Loads it, or wakes it; whoever waits is answered after it, or all are refused."""
        async with self._slots.hold(_claim(model)):
            began, waking = self._clock(), model.status.waking
            try:
                await self._bring_up(model)
            except EngineGone as exc:
                log.warning("%s: TorchServe went away while it was loaded: %s", model.key, exc)
            except EngineRefused as exc:
                await self._load_failed(model, exc.status, began)
            except LoadFailed as exc:
                await self._failed(model, str(exc), began)
            else:
                model.ready_at = self._clock()
                taken = model.ready_at - began
                kind: EventType = "wake" if waking else "load"
                self._changed(model, kind, 0, model.workers, taken, reason)
                log.info("%s: loaded in %.1f s (%s)", model.key, taken, reason)

    async def _bring_up(self, model: ManagedModel) -> None:
        key, inference = model.key, model.spec.inference
        known = await self._client.describe(key)
        foreign = known is not None and known.batch_size != 1  # it has batches of its own
        if foreign or (known is not None and model.suspect):
            await self._unregister(model)
            known = None
        if known is None:
            await self._client.register(f"{key}.mar", key)
        most = max(model.workers, inference.workers.max)
        await self._workers.start(key, model.workers, most, inference.startup_timeout_seconds)

    async def _unregister(self, model: ManagedModel) -> None:
        """Every version: TorchServe lets the default go last."""
        model.renewed()
        default = await self._client.describe(model.key)
        for each in await self._client.versions(model.key):
            if default is not None and each.model_version != default.model_version:
                await self._client.unregister(model.key, each.model_version)
        await self._client.unregister(model.key)

    async def _load_failed(self, model: ManagedModel, status: int, began: float) -> None:
        if status == 404:
            model.status = ModelStatus("available", error="its archive is not in the model store")
            model.retry.wait(self._clock(), NO_ARCHIVE_RETRY_SECONDS)
            model.refuse("its archive is not in the model store", NO_ARCHIVE_RETRY_SECONDS)
        elif status != 409:  # 409: registered already, which was the aim
            await self._failed(model, "it cannot be loaded; workers.log says why", began)

    async def _failed(self, model: ManagedModel, error: str, began: float) -> None:
        """TorchServe would go on starting its workers again and again: it is told not to."""
        if model.status.state != "failed":
            log.error("%s: %s", model.key, error)
        model.fails(error, self._clock())
        self._history.add("failure", model.key, 0, 0, self._clock() - began, error)
        try:
            await self._client.scale(model.key, 0, 0)
        except (EngineGone, EngineRefused) as exc:
            log.debug("%s: nothing to scale down: %s", model.key, exc)

    async def put_to_sleep(self, model: ManagedModel, reason: str) -> None:
        """To zero workers, once nothing of it is in flight; not if somebody asks meanwhile."""
        began, before = self._clock(), len(model.status.workers)
        if not await self._quiet(model):
            return
        try:
            await self._client.scale(model.key, 0, 0)
        except (EngineGone, EngineRefused) as exc:
            log.warning("%s: cannot be put to sleep: %s", model.key, exc)
            return
        model.sleeps(model.status.version)
        self._changed(model, "scale_to_zero", before, 0, self._clock() - began, reason)

    async def unload(self, model: ManagedModel, reason: str) -> None:
        """Out of TorchServe, once nothing of it is in flight; a request loads it again."""
        began, before = self._clock(), len(model.status.workers)
        model.dispatcher.pause()
        await model.dispatcher.until_none_in_flight()
        try:
            await self._unregister(model)
        except (EngineGone, EngineRefused) as exc:
            log.warning("%s: cannot be unloaded: %s", model.key, exc)
        model.status = ModelStatus("archived")
        model.crashes.forget()
        self._changed(model, "unload", before, 0, self._clock() - began, reason)

    async def scale(self, model: ManagedModel, workers: int, reason: str) -> None:
        """To another number of workers, not zero; back to what it was when they cannot be had."""
        began, before = self._clock(), len(model.status.workers)
        model.workers = workers
        model.changed_at = began
        if workers < before:  # one that is stopped drops its job
            model.dispatcher.pause()
            await model.dispatcher.until_none_in_flight()
        seconds = model.spec.inference.startup_timeout_seconds
        try:
            await self._workers.scale(model.key, workers, seconds)
        except (EngineGone, EngineRefused) as exc:
            log.warning("%s: cannot be scaled to %d: %s", model.key, workers, exc)
            return
        except LoadFailed as exc:
            log.warning("%s: cannot be scaled to %d: %s", model.key, workers, exc)
            model.workers = max(before, 1)
            await self._client.scale(model.key, model.workers, model.workers)
            return
        finally:
            model.dispatcher.open(min(workers, before) or workers)
        kind: EventType = "scale_up" if workers > before else "scale_down"
        self._changed(model, kind, before, workers, self._clock() - began, reason)

    async def _quiet(self, model: ManagedModel) -> bool:
        """No more jobs are sent, and those in flight are answered; whether nobody waits then."""
        model.dispatcher.pause()
        await model.dispatcher.until_none_in_flight()
        if len(model.dispatcher.queue):
            model.dispatcher.open(len(model.status.workers))
            return False
        return True

    def _changed(
        self,
        model: ManagedModel,
        kind: EventType,
        before: int,
        after: int,
        seconds: float,
        reason: str,
    ) -> None:
        model.changed_at = self._clock()
        self._history.add(kind, model.key, before, after, seconds, reason)


def _claim(model: ManagedModel) -> Claim:
    if model.suspect:
        return Claim.RETRY
    return Claim.WAKE if model.status.waking else Claim.LOAD
