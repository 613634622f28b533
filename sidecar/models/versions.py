"""Versions of one model side by side: added, made the default, removed, replaced."""

import asyncio
import logging
from pathlib import Path

from sidecar.catalog.model_store import archive_version, find_version
from sidecar.errors import EngineUnavailable, InvalidVersion, ModelNotReady, VersionNotFound
from sidecar.models.loader import paused
from sidecar.models.model import Model
from sidecar.models.worker_start import LoadFailed, WorkerStart
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.failures import EngineGone, EngineRefused
from sidecar.torchserve.worker_log import WorkerLog

log = logging.getLogger(__name__)


class ModelVersions:
    """No request fails by what is done here: jobs go to a version that is READY, or wait."""

    def __init__(self, client: TorchServeClient, model_store: Path, worker_log: WorkerLog) -> None:
        self._client = client
        self._workers = WorkerStart(client, worker_log)
        self._model_store = model_store

    async def loaded(self, key: str) -> list[str]:
        """Return the versions that TorchServe holds."""
        return sorted(each.model_version for each in await self._client.versions(key))

    async def beside_default(self, model: Model, version: str) -> str | None:
        """Return *version* if it is loaded beside the default; None for the default itself.

        Raises VersionNotFound and EngineUnavailable.
        """
        if version == (model.version or model.spec.version):
            return None
        try:
            loaded = await self.loaded(model.key)
        except (EngineGone, EngineRefused) as exc:
            raise EngineUnavailable("TorchServe does not answer") from exc
        if version not in loaded:
            raise VersionNotFound(model.key, version)
        return version

    async def add(self, model: Model, version: str, archive: str | None = None) -> None:
        """Load *version* beside what is there, from *archive* or the one that holds it.

        Raises VersionNotFound, InvalidVersion.
        """
        name = archive or await asyncio.to_thread(
            find_version, self._model_store, model.key, version
        )
        if name is None:
            raise VersionNotFound(model.key, version)
        await self._load(model, name, version)

    async def make_default(self, model: Model, version: str) -> None:
        """Let requests go to *version* from now on.  Raises VersionNotFound, ModelNotReady."""
        versions = {each.model_version: each for each in await self._client.versions(model.key)}
        if version not in versions:
            raise VersionNotFound(model.key, version)
        if not versions[version].ready:
            raise ModelNotReady(f"no worker of {version} is READY", field="version")
        await self._client.set_default(model.key, version)
        model.renew()
        model.trust_again()

    async def remove(self, model: Model, version: str) -> None:
        """Unload *version*, but not the default.  Raises VersionNotFound, InvalidVersion."""
        if version not in await self.loaded(model.key):
            raise VersionNotFound(model.key, version)
        if version == model.version:
            raise InvalidVersion(
                f"{version} is the default; make another version the default first",
                field="version",
            )
        await self._unregister(model, version)

    async def replace(self, model: Model) -> None:
        """Load the archive as it lies in the model store now, in place of what is loaded.

        A new version is loaded beside the old one first.  The same version cannot be: requests
        wait until it is loaded again.
        """
        path = self._model_store / model.spec.archive_name(model.key)
        version, old = await asyncio.to_thread(archive_version, path), model.version
        if version is None or old is None:
            log.warning("%s: the file in the model store is not an archive", model.key)
            return
        if version == old:
            await self._load_again(model, path.name, version)
        else:
            await self._load(model, path.name, version)
            await self._client.set_default(model.key, version)
            await self._unregister(model, old)
        model.renew()
        log.info("%s: version %s replaced by %s", model.key, old, version)

    async def _load_again(self, model: Model, archive: str, version: str) -> None:
        """Reload *version*; while it is unloaded, no job must be sent."""
        async with paused(model, "its archive has changed"):
            try:
                await self._client.unregister(model.key, version)
                await self._load(model, archive, version)
            except BaseException:
                model.mark_loading("its changed archive was not loaded")
                raise

    async def _load(self, model: Model, archive: str, version: str) -> None:
        """Load *version* from *archive*.  Raises InvalidVersion, and keeps nothing, on failure."""
        key, seconds = model.key, model.spec.inference.startup_timeout_seconds
        most = max(model.target_workers, model.spec.inference.workers.max)
        since = await self._workers.log_end()
        try:
            await self._client.register(archive, key, model.spec)
        except EngineRefused as exc:
            if exc.status == 409:  # it is loaded already
                return
            raise _not_loadable(archive, await self._workers.why_refused(key, exc, since)) from exc
        try:
            await self._workers.start(key, model.target_workers, most, seconds, version)
        except LoadFailed as exc:
            await self._client.unregister(key, version)
            raise _not_loadable(archive, str(exc)) from exc

    async def _unregister(self, model: Model, version: str) -> None:
        async with paused(model, f"version {version} is unloaded"):  # its workers may hold jobs
            await self._client.unregister(model.key, version)


def _not_loadable(archive: str, reason: str) -> InvalidVersion:
    return InvalidVersion(f"{archive} cannot be loaded: {reason}", field="version")
