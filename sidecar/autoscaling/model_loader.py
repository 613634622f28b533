"""Loads what is wanted, and tells the dispatchers which workers are READY.

TorchServe's /ping stays healthy while every worker crash-loops, so readiness is what the
management API says of the workers.  It is asked every few seconds, and at once when a job
fails (`nudge`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import msgspec

from sidecar.autoscaling.model_status import ModelStatus, Runtime, State
from sidecar.catalog.catalog import Catalog
from sidecar.catalog.model_store import archive_path
from sidecar.errors import EngineUnavailable, ModelNotFound, ModelNotReady, Unavailable
from sidecar.scheduling.scheduler import Scheduler
from sidecar.schemas.model_spec import ModelSpec
from sidecar.torchserve.client import EngineGone, EngineRefused, ModelState, TorchServeClient

log = logging.getLogger(__name__)

LOADS_AT_ONCE = 2
MISSES = 2  # pings in a row without an answer: one may be the machine's load
UNSETTLED_POLL_SECONDS = 0.25
RESTART_GRACE_SECONDS = 15.0  # a worker that died has this long until its queue is refused
FIRST_RETRY_SECONDS = 5.0
LAST_RETRY_SECONDS = 300.0


class ModelLoader:
    """Keeps the wanted models registered, and one status per model of the catalog."""

    def __init__(
        self,
        catalog: Catalog,
        client: TorchServeClient,
        scheduler: Scheduler,
        *,
        poll_seconds: float,
        model_store: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._model_store = model_store
        self._client = client
        self._scheduler = scheduler
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._nudged = asyncio.Event()
        self._wanted = set(catalog.auto_load())
        self._loads: dict[str, asyncio.Task[None]] = {}
        self._on_missing: Callable[[str, str], NoReturn] = _has_no_archive
        self._slots = asyncio.Semaphore(LOADS_AT_ONCE)
        self._last_ready: dict[str, float] = {}
        self._retry_at: dict[str, float] = {}
        self._retry_seconds: dict[str, float] = {}
        self.engine_up = False
        self._misses = 0
        self._settled_once = asyncio.Event()
        self.status = {key: ModelStatus(_first_state(spec)) for key, spec in catalog.items()}

    @property
    def active_loads(self) -> int:
        """Loads in progress."""
        return len(self._loads)

    @property
    def all_ready(self) -> bool:
        """Whether every auto_load model is ready."""
        return all(self.status[key].state == "ready" for key in self._catalog.auto_load())

    @property
    def settled(self) -> bool:
        """Whether TorchServe answers and every auto_load model is ready."""
        return self.engine_up and self.all_ready

    @property
    def was_settled(self) -> bool:
        """Whether they were, once at least."""
        return self._settled_once.is_set()

    async def wait_settled(self) -> None:
        """Waits for that."""
        await self._settled_once.wait()

    def runtimes(self) -> list[Runtime]:
        """What the handlers of all loaded models say of themselves."""
        return [status.runtime for status in self.status.values() if status.runtime]

    def worker_pids(self) -> Iterable[int]:
        """The processes of all READY workers."""
        return [pid for status in self.status.values() for pid in status.pids]

    def nudge(self) -> None:
        """Look at once: something has happened."""
        self._nudged.set()

    def require(self, key: str, name: str) -> None:
        """Sees to it that *key* can take requests, or raises why not.

        Raises ModelNotFound when it is disabled or has no archive, ModelDownloading when that
        is on its way, ModelNotReady when its load has just begun.
        """
        status = self.status[key]
        if status.state == "disabled":
            raise ModelNotFound(name, "model_name: disabled in models.json", state="disabled")
        if status.state in ("available", "downloading"):
            self._on_missing(key, name)
        if key not in self._wanted:
            self._wanted.add(key)
            self.nudge()
            raise ModelNotReady(f"model_name: {name} is being loaded", retry_after=5)

    def on_missing(self, tell: Callable[[str, str], NoReturn]) -> None:
        """*tell* is asked what to answer for a model (key, name) that has no archive."""
        self._on_missing = tell

    def set_missing(self, key: str, *, downloading: bool) -> None:
        """*key* has no archive; *downloading*: it will have one."""
        self.status[key] = ModelStatus("downloading" if downloading else "available")

    def add(self, key: str) -> None:
        """*key*, of the catalog, has a new archive: from now on it can be loaded."""
        self._retry_at.pop(key, None)
        self._retry_seconds.pop(key, None)
        enabled = self._catalog[key].enabled
        self.status[key] = ModelStatus("archived" if enabled else "disabled")
        if enabled and self._catalog[key].auto_load:
            self._wanted.add(key)
        self.nudge()

    async def unload(self, key: str, reason: Unavailable) -> None:
        """Takes *key* out of TorchServe; its archive stays.  What waits gets *reason*."""
        self._wanted.discard(key)
        load = self._loads.get(key)
        if load is not None:
            load.cancel()
            await asyncio.wait([load])
        if key in self._scheduler.dispatchers:
            self._scheduler.dispatchers[key].close(reason)
        try:
            if await self._client.describe(key) is not None:
                await self._client.unregister(key)
        except (EngineGone, EngineRefused) as exc:
            log.warning("%s: cannot be unloaded: %s", key, exc)
        if self.status[key].state != "disabled":
            self.status[key] = ModelStatus("archived")

    def forget(self, key: str) -> None:
        """*key*, which was unloaded, has left the catalog."""
        self.status.pop(key, None)

    async def run(self) -> None:
        """Looks on and on."""
        while True:
            self._nudged.clear()
            await self.look()
            if self.settled:
                self._settled_once.set()
            steady = self.settled and not self._misses
            pause = self._poll_seconds if steady else UNSETTLED_POLL_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._nudged.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(UNSETTLED_POLL_SECONDS / 5)  # nudges come in swarms

    async def stop(self) -> None:
        """Ends the loads in progress."""
        loads = list(self._loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    async def look(self) -> None:
        """One look at TorchServe and at every wanted model."""
        was_up, answers = self.engine_up, await self._client.ping()
        self._misses = 0 if answers else self._misses + 1
        self.engine_up = answers or (was_up and self._misses < MISSES)
        if not answers:
            if not self.engine_up:
                self._engine_is_away(was_up)
            return
        await asyncio.to_thread(self._find_archives)
        for key in [key for key in self._catalog if key in self._wanted]:
            if key not in self._loads:
                await self._refresh(key)

    def _find_archives(self) -> None:
        """Optional models become usable when somebody builds their archives."""
        for key, status in list(self.status.items()):
            missing = status.state == "available" and key not in self._wanted
            if missing and archive_path(self._model_store, key).is_file():
                self.status[key] = ModelStatus("archived")

    def _engine_is_away(self, was_up: bool) -> None:
        if was_up:
            log.warning("TorchServe does not answer")
        reason = EngineUnavailable("TorchServe does not answer; it is being restarted")
        for key, dispatcher in self._scheduler.dispatchers.items():
            dispatcher.close(reason)
            status = self.status[key]
            if status.state in ("ready", "failed"):
                self.status[key] = ModelStatus("loading" if key in self._wanted else "archived")
            self._retry_at.pop(key, None)

    async def _refresh(self, key: str) -> None:
        try:
            model = await self._client.describe(key)
            if key not in self._wanted:  # unloaded meanwhile
                return
            given_up = self.status[key].state == "failed"
            if model and model.batch_size == 1 and (model.ready or not given_up):
                await self._update(key, model)
            elif self._clock() >= self._retry_at.get(key, 0.0):
                self._begin_load(key, registered=model is not None)
        except (EngineGone, EngineRefused) as exc:
            log.warning("%s: cannot be described: %s", key, exc)

    async def _update(self, key: str, model: ModelState) -> None:
        known = self.status[key]
        if model.ready:
            runtime = known.runtime
            if runtime is None or set(known.pids) != {worker.pid for worker in model.ready}:
                runtime = await self._describe_runtime(key)
            if key not in self._wanted:
                return
            self.status[key] = ModelStatus("ready", model.model_version, model.ready, runtime)
            self._last_ready[key] = self._clock()
            self._retry_seconds.pop(key, None)
            self._scheduler.dispatchers[key].open(len(model.ready))
            return
        away = self._clock() - self._last_ready.get(key, -RESTART_GRACE_SECONDS)
        if known.state == "ready":
            log.warning("%s: no worker is READY", key)
        if away < RESTART_GRACE_SECONDS:
            self.status[key] = ModelStatus("loading", model.model_version)
            self._scheduler.dispatchers[key].pause()
        else:
            self._close(key, "failed", "its workers do not become READY")

    async def _describe_runtime(self, key: str) -> Runtime | None:
        """What the handler says of itself; None from a handler that is not ours."""
        try:
            model = await self._client.describe(key, customized=True)
            said = model.customized_metadata if model else None
            if isinstance(said, str):
                return msgspec.json.decode(said, type=Runtime)
            return msgspec.convert(said, Runtime)
        except (EngineGone, EngineRefused, msgspec.DecodeError) as exc:
            log.warning("%s: says nothing of itself: %s", key, exc)
            return None

    def _begin_load(self, key: str, *, registered: bool) -> None:
        self.status[key] = ModelStatus("loading")
        self._scheduler.dispatchers[key].close(
            ModelNotReady(f"model_name: {key} is loading", retry_after=2)
        )
        load = asyncio.create_task(self._load(key, registered=registered), name=f"load {key}")
        self._loads[key] = load
        load.add_done_callback(lambda _: self._load_ended(key))

    def _load_ended(self, key: str) -> None:
        del self._loads[key]
        self.nudge()

    async def _load(self, key: str, *, registered: bool) -> None:
        inference = self._catalog[key].inference
        async with self._slots:
            began = self._clock()
            try:
                if registered:  # by someone else, with TorchServe's own batching
                    await self._client.unregister(key)
                await self._client.register(
                    f"{key}.mar",
                    key,
                    max(inference.workers.min, 1),
                    inference.startup_timeout_seconds,
                )
            except EngineGone as exc:
                log.warning("%s: TorchServe went away while it was loaded: %s", key, exc)
            except EngineRefused as exc:
                self._load_failed(key, exc)
            else:
                log.info("%s: loaded in %.1f s", key, self._clock() - began)

    def _load_failed(self, key: str, refusal: EngineRefused) -> None:
        if refusal.status == 404:
            self._close(key, "available", "its archive is not in the model store")
        elif refusal.status != 409:  # 409: registered already, which was the aim
            self._close(key, "failed", "it cannot be loaded; workers.log says why")

    def _close(self, key: str, state: State, error: str) -> None:
        pause = FIRST_RETRY_SECONDS  # an archive may be built any moment
        if state == "failed":
            pause = self._retry_seconds.get(key, FIRST_RETRY_SECONDS)
            self._retry_seconds[key] = min(2 * pause, LAST_RETRY_SECONDS)
        self._retry_at[key] = self._clock() + pause
        if self.status[key].state != state:
            log.error("%s: %s", key, error)
        self.status[key] = ModelStatus(state, error=error)
        reason: Unavailable = ModelNotReady(f"model_name: {key}: {error}", retry_after=int(pause))
        self._scheduler.dispatchers[key].close(reason)


def _first_state(spec: ModelSpec) -> State:
    """Some models' archives may be missing; any other's was built before the start."""
    if not spec.enabled:
        return "disabled"
    return "available" if spec.can_be_missing else "archived"


def _has_no_archive(key: str, name: str) -> NoReturn:
    raise ModelNotFound(
        name, f"model_name: no archive; scripts/build_archives {key} makes it", state="available"
    )
