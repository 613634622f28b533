"""What operators may do to models: load, unload and scale them, and change their versions."""

import asyncio
from collections.abc import Awaitable, Callable

from sidecar.errors import EngineUnavailable, InvalidFields, ModelNotFound, ModelNotReady, NoRoom
from sidecar.models.model import Model
from sidecar.models.operations import Operations
from sidecar.models.reconciler import Reconciler
from sidecar.models.room import MemoryRoom
from sidecar.models.states import MISSING, State
from sidecar.torchserve.engine_watch import EngineWatch
from sidecar.torchserve.failures import EngineGone, EngineRefused


class OperatorChanges:
    """Does what an operator asks for, and returns when it is done.

    Each *reason* goes into the history.  *refuse_missing* is called for a model without an archive,
    with the name that the operator used; it raises an error that says how to get it.
    """

    def __init__(
        self,
        operations: Operations,
        reconciler: Reconciler,
        room: MemoryRoom,
        engine: EngineWatch,
        *,
        refuse_missing: Callable[[Model, str], None],
    ) -> None:
        self._operations = operations
        self._reconciler = reconciler
        self._room = room
        self._engine = engine
        self._refuse_missing = refuse_missing

    async def load(self, model: Model, reason: str) -> None:
        """Load or wake it.

        Raises ModelNotFound, ModelDownloading, NoRoom, EngineUnavailable, ModelNotReady.
        """
        if model.state in MISSING:
            self._refuse_missing(model, model.key)
        await self._settle(model)
        if model.loaded:
            return
        self._operations.wake(model, reason)
        await self._settle(model)
        if not model.loaded:
            raise ModelNotReady(f"{model.key}: {model.error or 'not READY'}", field="model_name")

    async def unload(self, model: Model, reason: str) -> None:
        """Unload it; the next request loads it again."""
        await self._settle(model)
        if model.state in (State.READY, State.IDLE, State.FAILED):
            self._operations.unload(model, reason)
            await self._settle(model)

    async def put_to_sleep(self, model: Model, reason: str) -> None:
        """End all its workers, unless a request comes meanwhile."""
        await self._settle(model)
        if model.state is State.READY:
            self._operations.put_to_sleep(model, reason)
            await self._settle(model)

    async def scale(self, model: Model, workers: int, reason: str) -> None:
        """Scale it to *workers*, within its limits.

        Raises InvalidFields, NoRoom, ModelNotReady.
        """
        limits = model.spec.inference.workers
        if not limits.min <= workers <= limits.max:
            bounds = f"{limits.min} to {limits.max}"
            raise InvalidFields(f"must be from {bounds}, as models.json says", field="workers")
        await self.load(model, reason)
        if workers > len(model.workers) and not self._room.has_room(model, workers):
            raise NoRoom(
                f"the budget has no room for {workers} workers of {model.key}", field="workers"
            )
        if workers != len(model.workers):
            self._operations.scale(model, workers, reason)
            await self._settle(model)
            if model.target_workers != workers:
                raise ModelNotReady(
                    f"{workers} workers did not start; server.log says why", field="workers"
                )

    async def grow(self, model: Model, reason: str) -> None:
        """Add a worker, or the minimum if it has none.  Raises what `scale` raises."""
        had_none = not model.workers
        await self.load(model, reason)
        if not had_none:
            await self.scale(model, len(model.workers) + 1, reason)

    async def shrink(self, model: Model, reason: str) -> None:
        """End a worker, as long as it has more than its minimum."""
        if len(model.workers) > max(model.spec.inference.workers.min, 1):
            await self.scale(model, len(model.workers) - 1, reason)

    async def add_version(
        self, model: Model, version: str, reason: str, archive: str | None = None
    ) -> None:
        """Load *version* beside the others, from *archive* or the one of the store that holds it.

        Raises VersionNotFound, InvalidVersion.
        """
        await self.load(model, reason)
        workers = len(model.workers) + model.target_workers
        if not self._room.has_room(model, workers):
            raise NoRoom(f"the budget has no room for the workers of {version}", field="version")
        await self._change_versions(model, self._operations.add_version(model, version, archive))

    async def make_default(self, model: Model, version: str, reason: str) -> None:
        """Let requests go to *version* from now on.  Raises VersionNotFound, ModelNotReady.

        It works even while the current default fails: this is the way back from it.
        """
        await self._settle(model)
        if model.state is not State.FAILED:
            await self.load(model, reason)
        await self._change_versions(model, self._operations.make_default(model, version))

    async def remove_version(self, model: Model, version: str) -> None:
        """Unload *version*.  Raises VersionNotFound, InvalidVersion for the default."""
        self._check(model)
        await self._change_versions(model, self._operations.remove_version(model, version))

    async def _change_versions(self, model: Model, change: Awaitable[None]) -> None:
        try:
            await change
        except (EngineGone, EngineRefused) as exc:
            raise EngineUnavailable(
                "TorchServe did not make the change; server.log says why"
            ) from exc
        await self._reconciler.refresh(model)

    def _check(self, model: Model) -> None:
        state = model.state
        if state is State.DISABLED:
            raise ModelNotFound(
                model.key, "disabled in models.json", field="model_name", state=state.shown
            )
        if state in MISSING:
            raise ModelNotFound(
                model.key, "it has no archive", field="model_name", state=state.shown
            )
        if state in (State.REMOVING, State.REMOVED):
            raise ModelNotReady(f"{model.key} is being removed", field="model_name", retry_after=5)
        if not self._engine.up:
            raise EngineUnavailable("TorchServe does not answer")

    async def _settle(self, model: Model) -> None:
        """Wait until nothing is being done to *model*.

        Raises what `_check` raises: it may have left TorchServe's reach meanwhile.
        """
        self._check(model)
        while True:
            while model.operation is not None:
                await asyncio.wait({model.operation})
            await self._reconciler.refresh(model)  # which may begin something
            if model.operation is None:
                break
        self._check(model)
