"""Looks at TorchServe and its models, and has done what is to be done.

TorchServe's /ping stays healthy while every worker crash-loops, so readiness is what the
management API says of the workers.  It is asked every few seconds, and at once when a job
fails (`nudge`).
"""

import asyncio
import logging
import time
from collections.abc import Callable

from sidecar.autoscaling.managed_model import ManagedModel
from sidecar.autoscaling.model_loader import ModelLoader
from sidecar.autoscaling.model_operations import ModelOperations
from sidecar.autoscaling.model_status import ModelStatus
from sidecar.autoscaling.store_watch import StoreWatch
from sidecar.catalog.model_store import archive_mark, archive_path
from sidecar.errors import EngineUnavailable
from sidecar.settings import Settings
from sidecar.torchserve.client import EngineGone, EngineRefused
from sidecar.torchserve.engine_watch import EngineWatch

log = logging.getLogger(__name__)

UNSETTLED_POLL_SECONDS = 0.25


class ModelWatch:
    """Keeps what is known of every model true, and the wanted ones loaded."""

    def __init__(
        self,
        loader: ModelLoader,
        operations: ModelOperations,
        engine: EngineWatch,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loader = loader
        self._operations = operations
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._nudged = asyncio.Event()
        self._store = StoreWatch()
        self._settled_once = asyncio.Event()
        loader.on_change(self.nudge)

    @property
    def settled(self) -> bool:
        """Whether TorchServe answers and every auto_load model can be used."""
        return self._engine.up and self._loader.all_usable

    @property
    def was_settled(self) -> bool:
        """Whether they were, once at least."""
        return self._settled_once.is_set()

    async def wait_settled(self) -> None:
        """Waits for that."""
        await self._settled_once.wait()

    def nudge(self) -> None:
        """Look at once: something has happened."""
        self._nudged.set()

    def torchserve_changed(self) -> None:
        """TorchServe has ended, or has been started."""
        self._engine.changed()
        for model in self._loader.models.values():
            model.crashes.forget()
            model.renewed()
        self.nudge()

    async def run(self) -> None:
        """Looks on and on."""
        while True:
            self._nudged.clear()
            await self.look()
            if self.settled:
                self._settled_once.set()
            steady = self.settled and self._engine.steady
            pause = self._settings.poll_seconds if steady else UNSETTLED_POLL_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._nudged.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(UNSETTLED_POLL_SECONDS / 5)  # nudges come in swarms

    async def look(self) -> None:
        """One look at TorchServe and at every wanted model."""
        was_up = self._engine.up
        if not await self._engine.ping():
            if not self._engine.up:
                self._engine_is_away(was_up)
            return
        await asyncio.to_thread(self._find_archives)
        if self._settings.watch_model_store:
            await self._replace_changed()
        for model in list(self._loader.models.values()):
            if model.operation is None:
                await self.refresh(model)

    async def refresh(self, model: ManagedModel) -> None:
        """One look at one model that is wanted."""
        if not model.wanted:
            return
        try:
            known = await self._operations.describe(model)
            if model.operation is not None:  # begun while TorchServe was asked
                return
            if model.status.state == "idle":
                model.dispatcher.pause()  # it may have been closed while TorchServe was away
                return
            given_up = model.status.state == "failed"
            if known and known.asleep and model.status.state == "ready":
                model.sleeps(known.model_version)
            elif known and known.batch_size == 1 and not known.asleep and not given_up:
                await self._operations.observe(model, known)
            elif model.retry.due(self._clock()):
                self._loader.load(model, "it is wanted")
        except (EngineGone, EngineRefused) as exc:
            log.warning("%s: cannot be described: %s", model.key, exc)

    def _find_archives(self) -> None:
        """Optional models become usable when somebody builds their archives."""
        for key, model in list(self._loader.models.items()):
            missing = model.status.state == "available" and not model.wanted
            if missing and archive_path(self._settings.model_store, key).is_file():
                model.status = ModelStatus("archived")
                model.dispatcher.pause()

    async def _replace_changed(self) -> None:
        """Archives that were written anew are loaded in place of the old ones."""
        for key, model in list(self._loader.models.items()):
            if model.status.state != "ready" or model.operation is not None:
                continue
            mark = await asyncio.to_thread(archive_mark, self._settings.model_store, key)
            if self._store.changed(key, mark) and model.operation is None:
                self._loader.replace(model)

    def _engine_is_away(self, was_up: bool) -> None:
        if was_up:
            log.warning("TorchServe does not answer")
        reason = EngineUnavailable("TorchServe does not answer; it is being restarted")
        for model in self._loader.models.values():
            if not model.enabled:
                continue
            if was_up:
                model.renewed()
            model.dispatcher.close(reason)
            if model.status.state in ("ready", "failed") and model.operation is None:
                model.status = ModelStatus("loading" if model.wanted else "archived")
            model.retry.now()
