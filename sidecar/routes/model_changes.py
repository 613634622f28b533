"""What an operator may do to a model: each waits until it is done."""

import asyncio
from functools import partial
from typing import Any

from sidecar.autoscaling.managed_model import ManagedModel
from sidecar.errors import EngineUnavailable, InvalidFields, ModelNotFound, ModelNotReady, NoRoom
from sidecar.services import Services


class ModelChanges:
    """*reason* goes into the history."""

    def __init__(self, services: Services, reason: str) -> None:
        self._loader = services.loader
        self._watch = services.watch
        self._reason = reason

    async def load(self, model: ManagedModel) -> None:
        """Loads or wakes it.  Raises ModelNotFound, NoRoom, EngineUnavailable, ModelNotReady."""
        self._check(model)
        await self._end(model)
        if self._is_ready(model):
            return
        model.retry.now()
        self._loader.wake(model, self._reason)
        await self._end(model)
        if not self._is_ready(model):
            raise ModelNotReady(f"model_name: {model.key}: {model.status.error or 'not READY'}")

    async def unload(self, model: ManagedModel) -> None:
        """Takes it out of memory; the next request loads it again."""
        self._check(model)
        await self._end(model)
        if model.status.state in ("ready", "idle", "failed"):
            self._loader.unload(model, self._reason)
            await self._end(model)

    async def put_to_sleep(self, model: ManagedModel) -> None:
        """To zero workers, unless somebody asks meanwhile."""
        self._check(model)
        await self._end(model)
        if model.status.state == "ready":
            self._loader.put_to_sleep(model, self._reason)
            await self._end(model)

    async def scale(self, model: ManagedModel, workers: int) -> None:
        """To *workers*, within its limits.  Raises InvalidFields, and what `load` raises."""
        most = model.spec.inference.workers.max
        if workers > most:
            raise InvalidFields(f"workers: {model.key} has at most {most}, see models.json")
        await self.load(model)
        if workers > len(model.status.workers) and not self._loader.has_room(model, workers):
            raise NoRoom(f"workers: the budget has no room for {workers} of {model.key}")
        if workers != len(model.status.workers):
            self._loader.scale(model, workers, self._reason)
            await self._end(model)

    async def add_version(self, model: ManagedModel, version: str) -> None:
        """Loads *version* beside the others.  Raises VersionNotFound, InvalidInput."""
        await self.load(model)
        await self._versions(model, "add", version)

    async def make_default(self, model: ManagedModel, version: str) -> None:
        """Requests go to *version* from now on.  Raises VersionNotFound."""
        await self.load(model)
        await self._versions(model, "make_default", version)

    async def remove_version(self, model: ManagedModel, version: str) -> None:
        """Raises VersionNotFound, InvalidInput for the default."""
        self._check(model)
        await self._versions(model, "remove", version)

    async def _versions(self, model: ManagedModel, name: str, version: str) -> None:
        change: Any = getattr(self._loader.versions, name)
        await self._loader.perform(model, partial(change, model, version), name)
        await self._watch.refresh(model)

    def _check(self, model: ManagedModel) -> None:
        state = model.status.state
        if state in ("disabled", "available"):
            raise ModelNotFound(model.key, f"model_name: {state}", state=state)
        if not self._loader.engine.up:
            raise EngineUnavailable("TorchServe does not answer")

    @staticmethod
    def _is_ready(model: ManagedModel) -> bool:
        return model.status.state == "ready"

    async def _end(self, model: ManagedModel) -> None:
        """Waits for what is being done to it."""
        while model.operation is not None:
            await asyncio.wait({model.operation})
        await self._watch.refresh(model)
