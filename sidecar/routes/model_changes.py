"""What an operator may do to a model: each waits until it is done."""

import asyncio
from functools import partial
from typing import Any

from sidecar.autoscaling.managed_model import ManagedModel
from sidecar.errors import EngineUnavailable, InvalidFields, ModelNotFound, ModelNotReady, NoRoom
from sidecar.services import Services
from sidecar.torchserve.client import EngineGone, EngineRefused

NOT_HERE = ("available", "downloading")


class ModelChanges:
    """*reason* goes into the history."""

    def __init__(self, services: Services, reason: str) -> None:
        self._loader = services.loader
        self._watch = services.watch
        self._reason = reason

    async def load(self, model: ManagedModel) -> None:
        """Loads or wakes it.

        Raises ModelNotFound, ModelDownloading, NoRoom, EngineUnavailable, ModelNotReady.
        """
        if model.status.state in ("disabled", *NOT_HERE):
            self._loader.require(model.key, model.key)  # says why not, and how to get it
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
        """To *workers*, within its limits.  Raises InvalidFields, NoRoom, ModelNotReady."""
        limits = model.spec.inference.workers
        if not limits.min <= workers <= limits.max:
            bounds = f"{limits.min} to {limits.max}"
            raise InvalidFields(f"workers: {model.key} has {bounds}, see models.json")
        await self.load(model)
        if workers > len(model.status.workers) and not self._loader.has_room(model, workers):
            raise NoRoom(f"workers: the budget has no room for {workers} of {model.key}")
        if workers != len(model.status.workers):
            self._loader.scale(model, workers, self._reason)
            await self._end(model)
            if model.workers != workers:
                raise ModelNotReady(f"workers: {workers} did not start; workers.log says why")

    async def grow(self, model: ManagedModel) -> None:
        """One worker more; the first ones, if it has none.  Raises what `scale` raises."""
        had_none = not model.status.workers
        await self.load(model)
        if not had_none:
            await self.scale(model, len(model.status.workers) + 1)

    async def shrink(self, model: ManagedModel) -> None:
        """One worker less, while it has more than it must have."""
        if len(model.status.workers) > max(model.spec.inference.workers.min, 1):
            await self.scale(model, len(model.status.workers) - 1)

    async def add_version(self, model: ManagedModel, version: str) -> None:
        """Loads *version* beside the others.  Raises VersionNotFound, InvalidInput."""
        await self.load(model)
        workers = len(model.status.workers) + model.workers
        if not self._loader.has_room(model, workers):
            raise NoRoom(f"version: the budget has no room for the workers of {version}")
        await self._versions(model, "add", version)

    async def make_default(self, model: ManagedModel, version: str) -> None:
        """Requests go to *version* from now on.  Raises VersionNotFound, ModelNotReady.

        A version that fails is no hindrance: this is the way back from it.
        """
        self._check(model)
        await self._end(model)
        if model.status.state != "failed":
            await self.load(model)
        await self._versions(model, "make_default", version)

    async def remove_version(self, model: ManagedModel, version: str) -> None:
        """Raises VersionNotFound, InvalidInput for the default."""
        self._check(model)
        await self._versions(model, "remove", version)

    async def _versions(self, model: ManagedModel, name: str, version: str) -> None:
        change: Any = getattr(self._loader.versions, name)
        try:
            await self._loader.perform(model, partial(change, model, version), name)
        except (EngineGone, EngineRefused) as exc:
            raise EngineUnavailable("TorchServe did not do it; server.log says why") from exc
        await self._watch.refresh(model)

    def _check(self, model: ManagedModel) -> None:
        state = model.status.state
        if state == "disabled":
            raise ModelNotFound(model.key, "model_name: disabled in models.json", state=state)
        if state in NOT_HERE:
            raise ModelNotFound(model.key, "model_name: it has no archive", state=state)
        if not self._loader.engine.up:
            raise EngineUnavailable("TorchServe does not answer")

    @staticmethod
    def _is_ready(model: ManagedModel) -> bool:
        return model.status.state == "ready"

    async def _end(self, model: ManagedModel) -> None:
        """Waits for what is being done to it; nothing is when this returns."""
        while True:
            while model.operation is not None:
                await asyncio.wait({model.operation})
            await self._watch.refresh(model)  # which may begin something
            if model.operation is None:
                return
