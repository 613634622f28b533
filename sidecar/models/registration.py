"""Archives of the model store, registered and taken out by operators while the program runs.

What they say counts before models.json and before what an archive says of itself, until the next
start.  Handlers are code: so an archive comes from the operator's own disk, never from an address.
"""

import asyncio
import json
import logging
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sidecar.catalog.catalog import parse_specs
from sidecar.catalog.entries import CatalogError, own_archive_entry
from sidecar.catalog.own_archives import ArchiveFacts, UnreadableArchive, read_archive
from sidecar.errors import (
    AlreadyRegistered,
    ArchiveNotFound,
    DefaultVersionKept,
    ModelNotFound,
    ModelNotReady,
    SidecarError,
    UnusableArchive,
    VersionNotFound,
)
from sidecar.models.catalog_watch import CatalogWatch
from sidecar.models.model import Model
from sidecar.models.operations import Operations
from sidecar.models.operator_changes import OperatorChanges
from sidecar.models.registry import ModelRegistry
from sidecar.models.versions import ModelVersions
from sidecar.schemas.model_spec import ArchiveName, Workers
from sidecar.settings import Settings

log = logging.getLogger(__name__)

REASON = "asked by the management API"


class Registered(NamedTuple):
    """A model that was registered.  *workers*: how many it is to have; 0: none until it is asked.

    *beside*: it is a version beside the default, and loaded already.
    """

    model: Model
    version: str
    workers: int
    beside: bool = False


class Registration:
    """Registers archives, changes the limits of workers, and takes models out of the program."""

    def __init__(
        self,
        models: ModelRegistry,
        versions: ModelVersions,
        operations: Operations,
        changes: OperatorChanges,
        catalog_watch: CatalogWatch,
        settings: Settings,
    ) -> None:
        self._models = models
        self._versions = versions
        self._operations = operations
        self._changes = changes
        self._catalog_watch = catalog_watch
        self._store = settings.model_store
        self._one_by_one = asyncio.Lock()
        self._begun: set[asyncio.Task[None]] = set()

    async def register(
        self, archive: str, name: str | None, inference: Mapping[str, Any], initial_workers: int
    ) -> Registered:
        """Enter the model in *archive*, a name in the model store, as *name* or as its own.

        *inference* has the settings that beat the archive's; its `minWorkers` beats
        *initial_workers*.  A version of a model that is registered is loaded beside its default.

        Raises ArchiveNotFound, UnusableArchive, AlreadyRegistered, what `OperatorChanges.load`
        raises, and InvalidVersion.
        """
        path = self._place(archive)
        try:
            facts = await asyncio.to_thread(read_archive, path)
        except UnreadableArchive as exc:
            if isinstance(exc.__cause__, FileNotFoundError):
                raise ArchiveNotFound(
                    archive, "the model store has no archive of this name"
                ) from exc
            raise UnusableArchive(str(exc)) from exc
        async with self._one_by_one:
            return await self._register(path, facts, name or facts.name, inference, initial_workers)

    def _place(self, archive: str) -> Path:
        """Return where *archive*, a name in the model store or a path to one there, would lie.

        Raises ArchiveNotFound.
        """
        name = archive.removeprefix(f"{self._store.absolute()}/")
        try:
            return self._store / msgspec.convert(name, ArchiveName)
        except msgspec.ValidationError as exc:
            raise ArchiveNotFound(
                archive,
                "expected the name of an archive in the model store: archives hold code, so they "
                "are never fetched from an address or from elsewhere",
            ) from exc

    async def _register(
        self,
        path: Path,
        facts: ArchiveFacts,
        name: str,
        inference: Mapping[str, Any],
        initial_workers: int,
    ) -> Registered:
        known = self._models.find(name)
        if known is not None and known.key not in self._models.catalog.found:
            await self._add_version(known, facts.version, path.name)
            return Registered(known, facts.version, known.target_workers, beside=True)
        if facts.ours:
            return await self._enter_again(path, name, facts.version, initial_workers)
        given = dict(inference)
        of_its_own = facts.settings.get("minWorkers")
        if initial_workers > 0 and not of_its_own:
            given["workers"] = {"min": initial_workers, "max": initial_workers}
        try:
            entry = await asyncio.to_thread(own_archive_entry, path, name, given)
            specs = await asyncio.to_thread(
                parse_specs, json.dumps({"models": entry}).encode(), path.name, self._store
            )
            ((key, spec),) = specs.items()
            refusal = ModelNotReady(f"{key} is registered anew", field="model_name", retry_after=5)
            await self._operations.take_entry(key, spec, refusal)
        except CatalogError as exc:
            raise UnusableArchive(str(exc)) from exc
        model = self._models[key]
        self._models.overrule(model)
        wanted = bool(of_its_own) or initial_workers > 0
        return Registered(model, facts.version, spec.inference.workers.min if wanted else 0)

    async def _add_version(self, known: Model, version: str, archive: str) -> None:
        default = known.version or known.spec.version
        loaded = await self._versions.loaded(known.key) if known.loaded else []
        if version in (default, *loaded):
            raise AlreadyRegistered(known.key, version)
        await self._changes.add_version(known, version, REASON, archive)

    async def _enter_again(
        self, path: Path, name: str, version: str, initial_workers: int
    ) -> Registered:
        """Enter a model of ours that was taken out, as its entry in models.json says."""
        try:
            key, spec = await self._catalog_watch.entry(name)
            model = await self._catalog_watch.take(key, spec)
        except (CatalogError, ModelNotFound) as exc:
            raise UnusableArchive(
                f"{path.name}: this program built it, and models.json has no such entry"
            ) from exc
        return Registered(model, version, spec.inference.workers.min if initial_workers > 0 else 0)

    async def load(self, registered: Registered) -> None:
        """Load the model that was just registered; take it out again if it cannot be loaded.

        Raises what `OperatorChanges.load` raises.
        """
        try:
            await self._changes.load(registered.model, REASON)
        except SidecarError:
            await self.withdraw(registered.model)
            raise

    async def set_worker_limits(self, model: Model, least: int, most: int) -> None:
        """Let *model* have from *least* to *most* workers from now on; 0 puts it to sleep.

        It keeps as many as it has, where that is within these limits.  Raises what
        `OperatorChanges.scale` raises.
        """
        limits = Workers(min=least, max=most or model.spec.inference.workers.max)
        inference = msgspec.structs.replace(model.spec.inference, workers=limits)
        self._models.overrule(model, msgspec.structs.replace(model.spec, inference=inference))
        if least == 0:
            await self._changes.put_to_sleep(model, REASON)
            return
        workers = min(max(len(model.workers), limits.min), limits.max)
        if not model.loaded:
            model.target_workers = workers  # it is woken with these
        await self._changes.scale(model, workers, REASON)

    async def remove_version(self, model: Model, version: str | None) -> None:
        """Take out *version*, or the default where None; the last one takes the model with it.

        Raises VersionNotFound, and DefaultVersionKept while there are others.
        """
        default = model.version or model.spec.version
        loaded = await self._versions.loaded(model.key) if model.loaded else [default]
        if version not in (None, *loaded):
            raise VersionNotFound(model.key, version or default)
        if version not in (None, default):
            await self._changes.remove_version(model, version or default)
        elif len(loaded) > 1:
            raise DefaultVersionKept(model.key, default)
        else:
            await self.withdraw(model)

    async def withdraw(self, model: Model) -> None:
        """Take *model* out of the program; its archive stays in the model store."""
        gone = ModelNotReady(f"{model.key} was unregistered", field="model_name", retry_after=5)
        await self._operations.withdraw(model, gone)

    def begin(self, change: Coroutine[Any, Any, None], what: str) -> None:
        """Have *change* done without anybody waiting for it; a failure is logged."""
        task = asyncio.create_task(change, name=what)
        self._begun.add(task)
        task.add_done_callback(self._end)

    async def stop(self) -> None:
        """End the changes that nobody waits for."""
        for task in self._begun:
            task.cancel()
        await asyncio.gather(*self._begun, return_exceptions=True)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._begun.discard(task)
        exc = None if task.cancelled() else task.exception()
        if isinstance(exc, SidecarError):
            log.warning("%s failed: %s", task.get_name(), exc.detail)
        elif exc is not None:
            log.error("%s failed", task.get_name(), exc_info=exc)
