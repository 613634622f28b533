"""What may be asked of a model: each begins one operation, and a model has one at a time."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from sidecar.errors import ModelNotFound, NoRoom, SidecarError, Unavailable
from sidecar.models.loader import ModelLoader
from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.models.room import MemoryRoom
from sidecar.models.states import NOT_IN_TORCHSERVE, SLEEPING, State
from sidecar.models.versions import ModelVersions
from sidecar.schemas.model_spec import ModelSpec
from sidecar.torchserve.engine_watch import EngineWatch
from sidecar.torchserve.failures import EngineGone, EngineRefused

log = logging.getLogger(__name__)

ROOM_RETRY_SECONDS = 1.0
ROOM_TRIES = 3

OperationFunction = Callable[[], Coroutine[Any, Any, None]]


class Operations:
    """Begins what is done to models, one thing at a time for each, within the memory's budget.

    Whoever calls `wake`, `load`, `put_to_sleep`, `unload`, `scale` or `replace` has seen that
    no operation of the model is under way; the others wait for that.
    """

    def __init__(
        self,
        models: ModelRegistry,
        loader: ModelLoader,
        versions: ModelVersions,
        room: MemoryRoom,
        engine: EngineWatch,
        nudged: asyncio.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._loader = loader
        self._versions = versions
        self._room = room
        self._engine = engine
        self._nudged = nudged
        self._clock = clock

    def prepare(self, model: Model, name: str) -> None:
        """Make sure that *model* takes requests; they wait while it wakes.

        Raises ModelNotFound, for what the client called *name*, when it is disabled, and NoRoom
        when no other model can make room for it.
        """
        if model.state is State.DISABLED:
            raise ModelNotFound(
                name, "disabled in models.json", field="model_name", state="disabled"
            )
        if model.state in SLEEPING and self._engine.up and model.operation is None:
            self.wake(model, "a request came")

    def wake_waiting(self, model: Model) -> None:
        """Wake *model* if entries wait that need it, or refuse them when there is no room."""
        if model.needs_wake and model.operation is None and self._engine.up:
            try:
                self.wake(model, "a request came")
            except NoRoom as exc:
                model.refuse_waiting(exc)

    def wake(self, model: Model, reason: str) -> None:
        """Bring *model* up; requests wait meanwhile.  Raises NoRoom."""
        leaving = self._room.leaving_for(model)
        model.mark_waking(reason)
        self._begin(model, self._make_room_and_bring_up(model, leaving, reason), "wake")

    def load(self, model: Model, reason: str) -> None:
        """Bring *model* up without a request; one that comes meanwhile is refused.

        A pinned model evicts others, if need be once they are loaded.  Any other model stays out
        where there is no room, and is woken by a request.
        """
        try:
            leaving = self._room.leaving_for(model)
        except NoRoom as exc:
            self._leave_out(model, exc)
            return
        if leaving and not model.spec.pinned:
            self._leave_out(model, NoRoom(f"{model.key}: others are in memory", field="model_name"))
            return
        model.mark_loading(reason)
        self._begin(model, self._make_room_and_bring_up(model, leaving, reason), "load")

    def put_to_sleep(self, model: Model, reason: str) -> None:
        """End the workers of *model*, unless a request comes meanwhile."""
        self._begin(model, self._loader.put_to_sleep(model, reason), "sleep")

    def unload(self, model: Model, reason: str) -> None:
        """Take *model* out of TorchServe."""
        model.wanted = False
        self._begin(model, self._loader.unload(model, reason), "unload")

    def scale(self, model: Model, workers: int, reason: str) -> None:
        """Scale *model* to *workers*, not zero."""
        self._begin(model, self._loader.scale(model, workers, reason), "scale")

    def replace(self, model: Model) -> None:
        """Load the archive as it lies in the model store now, in place of what is loaded."""
        self._begin(model, self._versions.replace(model), "replace")

    async def add_version(self, model: Model, version: str, archive: str | None = None) -> None:
        """Load *version* beside the others.  Raises what `ModelVersions.add` does."""
        work = partial(self._versions.add, model, version, archive)
        await self._perform(model, work, "add a version")

    async def make_default(self, model: Model, version: str) -> None:
        """Let requests go to *version*.  Raises VersionNotFound, ModelNotReady."""
        work = partial(self._versions.make_default, model, version)
        await self._perform(model, work, "make default")

    async def remove_version(self, model: Model, version: str) -> None:
        """Unload *version*.  Raises VersionNotFound, InvalidVersion for the default."""
        work = partial(self._versions.remove, model, version)
        await self._perform(model, work, "remove a version")

    async def install(self, key: str, spec: ModelSpec, refusal: Unavailable) -> None:
        """Start *key* afresh with the archive that was downloaded.

        What was loaded before is taken out first; requests that come meanwhile get *refusal*.
        Raises CatalogError when one of its names is taken; nothing has changed then.
        """
        self._models.check(key, spec)
        await self._begin_anew(key, lambda: self._models.put(key, spec), refusal)

    async def take_entry(self, key: str, spec: ModelSpec, refusal: Unavailable) -> None:
        """Start *key* afresh as its entry in models.json now says.

        What was loaded before is taken out first; requests that come meanwhile get *refusal*.
        Raises CatalogError when one of its names is taken; nothing has changed then.
        """
        self._models.check_entry(key, spec)
        await self._begin_anew(key, lambda: self._models.put_entry(key, spec), refusal)

    async def _begin_anew(self, key: str, put: Callable[[], None], refusal: Unavailable) -> None:
        old = self._models.get(key)
        if old is None or not old.enabled:
            put()
            return

        async def work() -> None:
            try:
                await self._take_out(old, refusal)
                put()
            finally:
                _keep_if_there(old)

        await self._cancel_operation(old)
        await self._perform(old, work, "install")

    async def remove(
        self, model: Model, refusal: Unavailable, delete: Callable[[], Awaitable[None]]
    ) -> None:
        """Unload *model*, *delete* its files, and remove it from the program.

        Requests that come meanwhile get *refusal*.  A model of models.json stays, without an
        archive.
        """

        async def work() -> None:
            try:
                if model.enabled:
                    await self._take_out(model, refusal)
                await delete()
                self._models.drop(model, refusal)
            finally:
                _keep_if_there(model)

        await self._cancel_operation(model)
        await self._perform(model, work, "remove")

    async def withdraw(self, model: Model, refusal: Unavailable) -> None:
        """Take *model* out, and let it leave the program; its files stay where they are.

        Whoever asks meanwhile gets *refusal*.
        """

        async def work() -> None:
            try:
                await self._take_out(model, refusal)
                self._models.withdraw(model, refusal)
            finally:
                _keep_if_there(model)

        await self._cancel_operation(model)
        await self._perform(model, work, "remove")

    async def stop(self, refusal: Unavailable) -> None:
        """End what is under way, and refuse everything queued or in flight with *refusal*."""
        tasks = [model.operation for model in self._models.values() if model.operation]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._models.stop(refusal)

    async def _take_out(self, model: Model, refusal: Unavailable) -> None:
        in_torchserve = model.state not in NOT_IN_TORCHSERVE
        model.mark_removing(refusal)
        if in_torchserve:
            await self._loader.take_out(model)

    def _leave_out(self, model: Model, reason: NoRoom) -> None:
        """Leave *model* out of memory; retry a pinned one soon, any other at the next request."""
        model.mark_archived("there is no room for it", refuse=reason)
        if model.spec.pinned:
            model.retry.postpone(self._clock(), ROOM_RETRY_SECONDS)
        else:
            log.warning("%s is not loaded: %s", model.key, reason.detail)
            model.wanted = False

    async def _make_room_and_bring_up(
        self, model: Model, leaving: Sequence[str], reason: str
    ) -> None:
        try:
            await self._make_room(model, leaving)
        except NoRoom as exc:
            self._leave_out(model, exc)
            return
        await self._loader.bring_up(model, reason)

    async def _make_room(self, model: Model, leaving: Sequence[str]) -> None:
        """Wait until the others have left.  Raises NoRoom if they stay because requests came."""
        for _ in range(ROOM_TRIES):
            for key in leaving:
                if self._models[key].operation is None:
                    self.put_to_sleep(self._models[key], f"room for {model.key}")
            going = [each.operation for each in self._models.values() if each.leaving]
            if tasks := [task for task in going if task is not None]:
                await asyncio.wait(tasks)
            leaving = self._room.leaving_for(model)
            if not leaving:
                return
        raise NoRoom(f"{model.key}: the models in memory are busy", field="model_name")

    async def _perform(self, model: Model, work: OperationFunction, name: str) -> None:
        """Run *work* as the next operation of *model*, and wait for its end.

        Raises what *work* raises, and ModelNotFound when the model has left the program.  The
        operation goes on if the caller leaves.
        """
        while model.operation is not None:
            await asyncio.wait({model.operation})
        if model.state is State.REMOVED:
            raise ModelNotFound(model.key)
        await asyncio.shield(self._begin(model, work(), name))

    async def _cancel_operation(self, model: Model) -> None:
        while model.operation is not None:
            model.operation.cancel()
            await asyncio.wait({model.operation})

    def _begin(
        self, model: Model, work: Coroutine[Any, Any, None], name: str
    ) -> asyncio.Task[None]:
        operation = model.begin(work, name)
        operation.add_done_callback(partial(self._end, model))
        return operation

    def _end(self, model: Model, operation: asyncio.Task[None]) -> None:
        model.end_operation()
        exc = None if operation.cancelled() else operation.exception()
        if isinstance(exc, SidecarError | EngineGone | EngineRefused):  # what is loaded stays
            log.warning("%s failed: %s", operation.get_name(), exc)
        elif exc is not None:
            log.error("%s failed", operation.get_name(), exc_info=exc)
            if model.state in (State.LOADING, State.WAKING):
                model.mark_failed("an error of the server's own")
        if not operation.cancelled():
            self.wake_waiting(model)
        self._nudged.set()


def _keep_if_there(model: Model) -> None:
    """Restore a model that could not be removed to what it is without TorchServe."""
    if model.state is State.REMOVING:
        model.mark_archived("it could not be removed")
