"""Loads what is wanted, and tells the dispatchers which workers are READY.

TorchServe's /ping stays healthy while every worker crash-loops, so readiness is what the
management API says of the workers.  It is asked every few seconds, and at once when a job
fails (`nudge`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NoReturn

from sidecar.autoscaling.eviction import Budget, room_for
from sidecar.autoscaling.managed_model import ManagedModel
from sidecar.autoscaling.model_board import ModelBoard
from sidecar.autoscaling.model_operations import ModelOperations
from sidecar.autoscaling.model_status import ModelStatus
from sidecar.autoscaling.model_versions import ModelVersions
from sidecar.autoscaling.runtime import describe_runtime
from sidecar.autoscaling.store_watch import StoreWatch
from sidecar.catalog.catalog import Catalog
from sidecar.catalog.model_store import archive_mark, archive_path
from sidecar.errors import EngineUnavailable, ModelNotFound, NoRoom, SidecarError, Unavailable
from sidecar.scheduling.scheduler import Scheduler
from sidecar.settings import Settings
from sidecar.torchserve.client import EngineGone, EngineRefused, ModelState, TorchServeClient
from sidecar.torchserve.engine_watch import EngineWatch

log = logging.getLogger(__name__)

UNSETTLED_POLL_SECONDS = 0.25

Work = Callable[[], Coroutine[Any, Any, None]]


class ModelLoader(ModelBoard):
    """Keeps the wanted models loaded, and knows the state of every model of the catalog."""

    def __init__(
        self,
        catalog: Catalog,
        client: TorchServeClient,
        scheduler: Scheduler,
        operations: ModelOperations,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(catalog, scheduler, clock)
        self._client = client
        self._operations = operations
        self._settings = settings
        self.engine = EngineWatch(client, clock)
        self.versions = ModelVersions(client, settings.model_store)
        self.budget = Budget(memory_mb=settings.memory_budget_mb, models=settings.max_loaded_models)
        self._on_missing: Callable[[str, str], NoReturn] = _has_no_archive
        self._nudged = asyncio.Event()
        self._store = StoreWatch()
        self._settled_once = asyncio.Event()

    # What is known

    @property
    def all_ready(self) -> bool:
        """Whether every auto_load model is ready, or can be woken."""
        return all(self.models[key].status.usable for key in self._catalog.auto_load())

    @property
    def settled(self) -> bool:
        """Whether TorchServe answers and every auto_load model can be used."""
        return self.engine.up and self.all_ready

    @property
    def was_settled(self) -> bool:
        """Whether they were, once at least."""
        return self._settled_once.is_set()

    async def wait_settled(self) -> None:
        """Waits for that."""
        await self._settled_once.wait()

    # What is asked

    def nudge(self) -> None:
        """Look at once: something has happened."""
        self._nudged.set()

    def torchserve_changed(self) -> None:
        """TorchServe has ended, or has been started."""
        self.engine.changed()
        for model in self.models.values():
            model.crashes.forget()
        self.nudge()

    def require(self, key: str, name: str) -> None:
        """Sees to it that *key* takes requests, or raises why not; they wait while it wakes.

        Raises ModelNotFound when it is disabled or has no archive, ModelDownloading when that
        is on its way, NoRoom when no other model can make room for it.
        """
        model = self.models[key]
        state = model.status.state
        if state == "disabled":
            raise ModelNotFound(name, "model_name: disabled in models.json", state="disabled")
        if state in ("available", "downloading"):
            self._on_missing(key, name)
        if state in ("idle", "archived") and self.engine.up and model.operation is None:
            self.wake(model, "a request came")

    def wake(self, model: ManagedModel, reason: str) -> None:
        """Brings *model* up; what is asked meanwhile waits.  Raises NoRoom."""
        leaving = self._room_for(model)
        model.wanted = True
        model.status = ModelStatus("loading", model.status.version, waking=True)
        model.dispatcher.pause()
        model.begin(self._make_room_and_bring_up(model, leaving, reason), "wake")
        self._watch(model)

    def put_to_sleep(self, model: ManagedModel, reason: str) -> None:
        """To zero workers, unless somebody asks meanwhile."""
        model.begin(self._operations.put_to_sleep(model, reason), "sleep")
        self._watch(model)

    def unload(self, model: ManagedModel, reason: str) -> None:
        """Out of TorchServe."""
        model.wanted = False
        model.begin(self._operations.unload(model, reason), "unload")
        self._watch(model)

    def scale(self, model: ManagedModel, workers: int, reason: str) -> None:
        """To *workers*, not zero."""
        model.begin(self._operations.scale(model, workers, reason), "scale")
        self._watch(model)

    async def perform(self, model: ManagedModel, work: Work, name: str) -> None:
        """Runs *work* as the next operation of *model*, and waits for its end.

        Raises what *work* raises.  It goes on if the caller leaves.
        """
        while model.operation is not None:
            await asyncio.wait({model.operation})
        model.begin(work(), name)
        operation = self._watch(model)
        await asyncio.shield(operation)

    # Downloads

    def on_missing(self, tell: Callable[[str, str], NoReturn]) -> None:
        """*tell* is asked what to answer for a model (key, name) that has no archive."""
        self._on_missing = tell

    def set_missing(self, key: str, *, downloading: bool) -> None:
        """*key* has no archive; *downloading*: it will have one."""
        self.models[key].status = ModelStatus("downloading" if downloading else "available")

    def add(self, key: str) -> None:
        """*key*, of the catalog, has a new archive: from now on it can be loaded."""
        model = self._manage(key)
        if model.enabled:
            model.status = ModelStatus("archived")
            model.dispatcher.pause()
        self.nudge()

    async def take_out(self, key: str, reason: Unavailable) -> None:
        """Takes *key* out of TorchServe; its archive stays.  What waits gets *reason*."""
        model = self.models[key]
        model.wanted = False
        if model.operation is not None:
            model.operation.cancel()
            await asyncio.wait({model.operation})
        if not model.enabled:
            return
        model.dispatcher.close(reason)
        await self._operations.unload(model, "it is removed")
        model.dispatcher.close(reason)

    def forget(self, key: str) -> None:
        """*key*, which was taken out, has left the catalog."""
        self.models.pop(key, None)

    # What is done

    async def run(self) -> None:
        """Looks on and on."""
        while True:
            self._nudged.clear()
            await self.look()
            if self.settled:
                self._settled_once.set()
            steady = self.settled and self.engine.steady
            pause = self._settings.poll_seconds if steady else UNSETTLED_POLL_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._nudged.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(UNSETTLED_POLL_SECONDS / 5)  # nudges come in swarms

    async def stop(self) -> None:
        """Ends what is under way."""
        tasks = [model.operation for model in self._at_work() if model.operation]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self) -> None:
        """One look at TorchServe and at every wanted model."""
        was_up = self.engine.up
        if not await self.engine.ping():
            if not self.engine.up:
                self._engine_is_away(was_up)
            return
        await asyncio.to_thread(self._find_archives)
        if self._settings.watch_model_store:
            await self._replace_changed()
        for model in list(self.models.values()):
            if model.operation is None:
                await self.refresh(model)

    def _room_for(self, model: ManagedModel) -> list[str]:
        leaving = room_for(model.memory_mb * model.workers, self.residents(), self.budget)
        if leaving is None:
            raise NoRoom(f"model_name: {model.key}: the models in memory are busy or pinned")
        return leaving

    async def _make_room_and_bring_up(
        self, model: ManagedModel, leaving: Iterable[str], reason: str
    ) -> None:
        for key in leaving:
            other = self.models[key]
            if other.operation is None:
                self.put_to_sleep(other, f"room for {model.key}")
            if other.operation is not None:
                await asyncio.wait({other.operation})
        await self._operations.bring_up(model, reason)
        if model.status.waking and (known := await self._client.describe(model.key)):
            await self._update(model, known)

    def _watch(self, model: ManagedModel) -> asyncio.Task[None]:
        assert model.operation is not None
        model.operation.add_done_callback(lambda task: self._ended(model, task))
        return model.operation

    def _ended(self, model: ManagedModel, task: asyncio.Task[None]) -> None:
        model.operation = None
        if task.cancelled():
            return
        exc = task.exception()
        if exc is not None and not isinstance(exc, SidecarError):
            log.error("%s: %s failed", model.key, task.get_name(), exc_info=exc)
            model.fails("an error of the server's own", self._clock())
        elif model.status.state in ("idle", "archived") and len(model.dispatcher.queue):
            self._wake_for_queue(model)
        self.nudge()

    def _wake_for_queue(self, model: ManagedModel) -> None:
        """Somebody asked while it was put away."""
        try:
            self.wake(model, "a request came")
        except NoRoom as exc:
            model.dispatcher.close(exc)

    def _find_archives(self) -> None:
        """Optional models become usable when somebody builds their archives."""
        for key, model in list(self.models.items()):
            missing = model.status.state == "available" and not model.wanted
            if missing and archive_path(self._settings.model_store, key).is_file():
                model.status = ModelStatus("archived")
                model.dispatcher.pause()

    async def _replace_changed(self) -> None:
        """Archives that were written anew are loaded in place of the old ones."""
        for key, model in list(self.models.items()):
            if model.status.state != "ready" or model.operation is not None:
                continue
            mark = await asyncio.to_thread(archive_mark, self._settings.model_store, key)
            if self._store.changed(key, mark) and model.operation is None:
                model.begin(self.versions.replace(model), "replace")
                self._watch(model)

    def _engine_is_away(self, was_up: bool) -> None:
        if was_up:
            log.warning("TorchServe does not answer")
        reason = EngineUnavailable("TorchServe does not answer; it is being restarted")
        for model in self.models.values():
            if not model.enabled:
                continue
            model.dispatcher.close(reason)
            if model.status.state in ("ready", "failed") and model.operation is None:
                model.status = ModelStatus("loading" if model.wanted else "archived")
            model.retry.now()

    async def refresh(self, model: ManagedModel) -> None:
        """One look at one model that is wanted."""
        if not model.wanted:
            return
        try:
            known = await self._client.describe(model.key)
            if model.operation is not None:  # begun while TorchServe was asked
                return
            if model.status.state == "idle":
                model.dispatcher.pause()  # it may have been closed while TorchServe was away
                return
            given_up = model.status.state == "failed"
            if known and known.asleep and model.status.state == "ready":
                model.sleeps(known.model_version)
            elif known and known.batch_size == 1 and not known.asleep and not given_up:
                await self._update(model, known)
            elif model.retry.due(self._clock()):
                self._begin_load(model)
        except (EngineGone, EngineRefused) as exc:
            log.warning("%s: cannot be described: %s", model.key, exc)

    def _begin_load(self, model: ManagedModel) -> None:
        model.status = ModelStatus("loading")
        model.refuse("it is loading", 2)
        model.begin(self._operations.bring_up(model, "it is wanted"), "load")
        self._watch(model)

    async def _update(self, model: ManagedModel, known: ModelState) -> None:
        now = self._clock()
        model.crashes.saw([worker.pid for worker in known.ready], now)
        if known.ready:
            runtime = model.status.runtime
            if runtime is None or set(model.status.pids) != {each.pid for each in known.ready}:
                runtime = await describe_runtime(self._client, model.key)
            if model.operation in (None, asyncio.current_task()):
                status = ModelStatus("ready", known.model_version, known.ready, runtime)
                model.is_ready(status, now)
            return
        if model.status.state == "ready":
            log.warning("%s: no worker is READY", model.key)
        if model.is_away(known.model_version, now) and model.status.state != "failed":
            log.error("%s: its workers do not become READY", model.key)
            model.fails("its workers do not become READY", now)


def _has_no_archive(key: str, name: str) -> NoReturn:
    raise ModelNotFound(
        name, f"model_name: no archive; scripts/build_archives {key} makes it", state="available"
    )
