"""Entries that models.json gets while the program runs."""

import asyncio
import logging
from contextlib import suppress
from typing import NamedTuple

from sidecar.catalog.catalog import Catalog, load_catalog
from sidecar.catalog.entries import CatalogError
from sidecar.catalog.models_file import ModelsFile
from sidecar.errors import ModelNotFound, ModelNotReady
from sidecar.models.model import Model
from sidecar.models.operations import Operations
from sidecar.models.registry import ModelRegistry
from sidecar.schemas.model_spec import ModelSpec
from sidecar.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0


class _Stamp(NamedTuple):
    file: tuple[int, int] | None
    store: int | None


class CatalogWatch:
    """Takes new entries of models.json into the program, and archives that no entry has.

    A changed entry is taken only when somebody asks for it by name, because the model is
    unavailable for a moment then; a removed one stays until the next start.
    """

    def __init__(
        self,
        models: ModelRegistry,
        operations: Operations,
        settings: Settings,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._models = models
        self._operations = operations
        self._settings = settings
        self._path = settings.models_file
        self._file = ModelsFile(settings.models_file, settings.state_dir)
        self._stamp = self._seen()
        self._look_seconds = look_seconds

    async def run(self) -> None:
        """Look at regular intervals until cancelled."""
        while True:
            await asyncio.sleep(self._look_seconds)
            stamp = await asyncio.to_thread(self._seen)
            if stamp != self._stamp and stamp.file is not None:
                self._stamp = stamp
                await self.look()

    async def entry(self, name: str) -> tuple[str, ModelSpec]:
        """Return the key and the entry of *name* as models.json has it now.

        Raises ModelNotFound, and CatalogError when the file is wrong.
        """
        catalog = await self._read()
        key = catalog.require(name, rule="models.json has no entry of this name")
        return key, catalog[key]

    async def take(self, key: str, spec: ModelSpec, *, rebuilt: bool = False) -> Model:
        """Make *spec* the entry of *key* from now on.  Raises CatalogError, ModelNotFound.

        A model that runs with just this entry already stays as it is, unless its archive was
        *rebuilt*.
        """
        known = self._models.get(key)
        if known is None or known.spec != spec or rebuilt or self._models.catalog.is_own(key):
            refusal = ModelNotReady(f"{key} gets a new entry", field="model_name", retry_after=5)
            await self._operations.take_entry(key, spec, refusal)
            log.info("%s: taken from %s", key, self._path)
        return self._models[key]

    async def _read(self) -> Catalog:
        settings = self._settings
        return await asyncio.to_thread(
            load_catalog,
            self._path,
            store=settings.model_store,
            serve_archives=settings.offers_archives,
            to_be_built=settings.builds_archives,
        )

    def _seen(self) -> "_Stamp":
        """Return what changes when models.json does, or what lies in a store that is offered."""
        store = None
        if self._settings.offers_archives:
            with suppress(OSError):
                store = self._settings.model_store.stat().st_mtime_ns
        return _Stamp(self._file.stamp(), store)

    async def look(self) -> None:
        """Take what is new in models.json; what is wrong with it is logged, and changes nothing."""
        try:
            catalog = await self._read()
        except CatalogError as exc:
            log.warning("%s is as it was read before: %s", self._path, exc)
            return
        for key, spec in catalog.items():
            if self._models.is_overruled(key):
                continue
            known = self._models.get(key)
            try:
                named = key in self._models.catalog.found and key not in catalog.found
                if known is None or named or self._models.catalog.is_own(key):
                    await self.take(key, spec)
                elif known.spec != spec:
                    log.warning(
                        "%s: its entry in %s has changed; POST /models/%s/add takes it over",
                        key,
                        self._path,
                        key,
                    )
            except (CatalogError, ModelNotFound) as exc:
                log.warning("%s", exc)
