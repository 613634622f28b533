"""What may be asked of a model: to be loaded, put to sleep, scaled, taken out."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from sidecar.autoscaling.eviction import Budget
from sidecar.autoscaling.managed_model import ManagedModel
from sidecar.autoscaling.model_board import ModelBoard
from sidecar.autoscaling.model_operations import ModelOperations
from sidecar.autoscaling.model_status import ModelStatus
from sidecar.autoscaling.model_versions import ModelVersions
from sidecar.catalog.catalog import Catalog
from sidecar.errors import ModelNotFound, NoRoom, SidecarError, Unavailable
from sidecar.scheduling.scheduler import Scheduler
from sidecar.settings import Settings
from sidecar.torchserve.client import EngineGone, EngineRefused, TorchServeClient
from sidecar.torchserve.engine_watch import EngineWatch

log = logging.getLogger(__name__)

ROOM_RETRY_SECONDS = 1.0
ROOM_TRIES = 3

Work = Callable[[], Coroutine[Any, Any, None]]


class ModelLoader(ModelBoard):
    """Begins what is done to models, one thing at a time for each, within the memory's budget."""

    def __init__(
        self,
        catalog: Catalog,
        client: TorchServeClient,
        scheduler: Scheduler,
        operations: ModelOperations,
        engine: EngineWatch,
        budget: Budget,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(catalog, scheduler, budget, clock)
        self._operations = operations
        self.engine = engine
        self.versions = ModelVersions(client, settings.model_store)
        self._on_missing: Callable[[str, str], NoReturn] = _has_no_archive
        self._on_change: Callable[[], None] = _nobody_looks

    def on_change(self, tell: Callable[[], None]) -> None:
        """*tell* is called when something was done to a model."""
        self._on_change = tell

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

    def somebody_waits(self, key: str) -> None:
        """In the queue of *key*, which was put away meanwhile: it is woken, or they are refused."""
        model = self.models.get(key)
        if model is None or not model.enabled or not len(model.dispatcher.queue):
            return
        away = model.status.state in ("idle", "archived") and model.operation is None
        if away and self.engine.up:
            try:
                self.wake(model, "a request came")
            except NoRoom as exc:
                model.refuse_once(exc)

    def wake(self, model: ManagedModel, reason: str) -> None:
        """Brings *model* up; what is asked meanwhile waits.  Raises NoRoom."""
        leaving = self.room_for(model)
        model.wanted = True
        model.status = ModelStatus("loading", model.status.version, waking=True)
        model.dispatcher.pause()
        model.begin(self._make_room_and_bring_up(model, leaving, reason), "wake")
        self._watch(model)

    def load(self, model: ManagedModel, reason: str) -> None:
        """Brings *model* up unasked; a request that comes meanwhile is refused.

        A pinned model makes others leave, if need be once they are loaded.  Any other stays out
        where there is no room, and is woken when asked.
        """
        try:
            leaving = self.room_for(model)
        except NoRoom as exc:
            self._stays_out(model, exc)
            return
        if leaving and not model.spec.pinned:
            self._stays_out(model, NoRoom(f"model_name: {model.key}: others are in memory"))
            return
        model.status = ModelStatus("loading")
        model.refuse("it is loading", 2)
        model.begin(self._make_room_and_bring_up(model, leaving, reason), "load")
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

    def replace(self, model: ManagedModel) -> None:
        """By its archive as it lies in the model store now."""
        model.begin(self.versions.replace(model), "replace")
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
        self._on_change()

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

    async def stop(self) -> None:
        """Ends what is under way."""
        tasks = [model.operation for model in self._at_work() if model.operation]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stays_out(self, model: ManagedModel, reason: NoRoom) -> None:
        """A pinned model is tried again soon, any other when it is asked."""
        model.status = ModelStatus("archived")
        model.refuse_once(reason)
        if model.spec.pinned:
            model.retry.wait(self._clock(), ROOM_RETRY_SECONDS)
        else:
            log.warning("%s is not loaded: %s", model.key, reason.detail)
            model.wanted = False

    async def _make_room_and_bring_up(
        self, model: ManagedModel, leaving: Sequence[str], reason: str
    ) -> None:
        try:
            await self._make_room(model, leaving)
        except NoRoom as exc:
            self._stays_out(model, exc)
            return
        await self._operations.bring_up(model, reason)
        if model.status.waking and (known := await self._operations.describe(model)):
            await self._operations.observe(model, known)

    async def _make_room(self, model: ManagedModel, leaving: Sequence[str]) -> None:
        """Waits until the others have left.  Raises NoRoom if they stay: somebody asked them."""
        for _ in range(ROOM_TRIES):
            for key in leaving:
                if self.models[key].operation is None:
                    self.put_to_sleep(self.models[key], f"room for {model.key}")
            going = [each.operation for each in self.models.values() if each.leaving]
            if tasks := [task for task in going if task is not None]:
                await asyncio.wait(tasks)
            leaving = self.room_for(model)
            if not leaving:
                return
        raise NoRoom(f"model_name: {model.key}: the models in memory are busy")

    def _watch(self, model: ManagedModel) -> asyncio.Task[None]:
        assert model.operation is not None
        model.operation.add_done_callback(lambda task: self._ended(model, task))
        return model.operation

    def _ended(self, model: ManagedModel, task: asyncio.Task[None]) -> None:
        model.operation, model.leaving = None, False
        if task.cancelled():
            return
        exc = task.exception()
        if isinstance(exc, SidecarError | EngineGone | EngineRefused):  # what is loaded stays
            log.warning("%s did not come about: %s", task.get_name(), exc)
        elif exc is not None:
            log.error("%s failed", task.get_name(), exc_info=exc)
            model.fails("an error of the server's own", self._clock())
        self.somebody_waits(model.key)
        self._on_change()


def _nobody_looks() -> None:
    """Until somebody does."""


def _has_no_archive(key: str, name: str) -> NoReturn:
    raise ModelNotFound(
        name, f"model_name: no archive; scripts/build_archives {key} makes it", state="available"
    )
