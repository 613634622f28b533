"""A downloaded model is handed to catalog, scheduler and loader, or taken from them."""

from pathlib import Path

from sidecar.autoscaling.model_loader import ModelLoader
from sidecar.catalog.catalog import Catalog
from sidecar.catalog.downloaded import Downloaded
from sidecar.catalog.model_store import archive_path
from sidecar.errors import ModelNotReady
from sidecar.scheduling.scheduler import Scheduler


class Shelf:
    """The running program's view of what is downloaded."""

    def __init__(
        self, catalog: Catalog, scheduler: Scheduler, loader: ModelLoader, store: Path
    ) -> None:
        self._catalog = catalog
        self._scheduler = scheduler
        self._loader = loader
        self._store = store

    def has_archive(self, key: str) -> bool:
        """Whether the model store has it."""
        return archive_path(self._store, key).is_file()

    async def place(self, key: str, record: Downloaded) -> None:
        """*key* can be used from now on.  Raises CatalogError when one of its names is taken."""
        reason = ModelNotReady(f"model_name: {key} is replaced by a new download", retry_after=5)
        if key in self._catalog and self._loader.status[key].state in (
            *("loading", "ready", "idle", "failed"),
        ):
            await self._loader.take_out(key, reason)
        if key not in self._catalog or self._catalog.is_own(key):
            self._catalog.add(key, record.spec)
            await self._scheduler.remove(key, reason)
            self._scheduler.add(key, record.spec)
        self._loader.add(key)

    async def unload(self, key: str) -> ModelNotReady:
        """Takes *key* out of TorchServe; what its requests are told from now on."""
        reason = ModelNotReady(f"model_name: {key} is removed", retry_after=5)
        await self._loader.take_out(key, reason)
        return reason

    async def clear(self, key: str, reason: ModelNotReady) -> None:
        """*key*, unloaded and without an archive, leaves the catalog, or is there to be had."""
        if self._catalog.is_own(key):
            self._catalog.remove(key)
            await self._scheduler.remove(key, reason)
            self._loader.forget(key)
        else:
            self._loader.set_missing(key, downloading=False)
