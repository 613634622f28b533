"""Keeps every model in its wanted state: observe, decide, act.

TorchServe's /ping stays healthy while every worker crash-loops, so readiness is what the
management API says of the workers.  It is asked every few seconds, and at once when something
has happened: a job failed, an operation ended, entries wait for a model that sleeps.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from enum import Enum, auto

import msgspec

from sidecar.catalog.model_store import ArchiveMark, archive_mark
from sidecar.models.loader import ModelLoader
from sidecar.models.model import Model
from sidecar.models.operations import Operations
from sidecar.models.registry import ModelRegistry
from sidecar.models.states import State
from sidecar.settings import Settings
from sidecar.torchserve.client import ModelState
from sidecar.torchserve.engine_watch import EngineWatch
from sidecar.torchserve.failures import EngineGone, EngineRefused

log = logging.getLogger(__name__)

UNSETTLED_POLL_SECONDS = 0.25
SWARM_SECONDS = 0.05  # in which further nudges are awaited before the next look
LOST = {  # what clients are told, by who runs TorchServe
    "managed": "TorchServe does not answer; it is being restarted",
    "external": "TorchServe does not answer; it is asked again until it does",
}


class Step(Enum):
    """What is to be done to one model."""

    NOTHING = auto()
    FIND_ARCHIVE = auto()  # somebody built it
    TAKE_OVER = auto()  # TorchServe has it: what it says of the workers counts
    NOTE_SLEEP = auto()  # somebody else ended its workers
    LOAD = auto()
    WAKE = auto()
    REPLACE = auto()  # its archive has changed


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the program knows of one model."""

    state: State
    wanted: bool
    at_work: bool  # an operation is under way
    needs_wake: bool  # entries wait that only a wake can answer
    retry_due: bool
    batch_size: int = 1  # with which we register it


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one model.  *reported* is what TorchServe says; None: not registered."""

    reported: ModelState | None = None
    has_archive: bool = False
    archive_changed: bool = False


LEFT_ALONE = frozenset(
    {State.DISABLED, State.DOWNLOADING, State.IDLE, State.REMOVING, State.REMOVED}
)


def decide(known: Known, observed: Observed) -> Step:
    """Return the step that brings a model nearer to its wanted state.  Pure."""
    if known.at_work:
        return Step.NOTHING
    if known.needs_wake:
        return Step.WAKE
    if known.state is State.AVAILABLE and observed.has_archive and not known.wanted:
        return Step.FIND_ARCHIVE
    if not known.wanted or known.state in LEFT_ALONE:
        return Step.NOTHING
    return _keep_loaded(known, observed)


def _keep_loaded(known: Known, observed: Observed) -> Step:
    ready, reported = known.state is State.READY, observed.reported
    if ready and observed.archive_changed:
        return Step.REPLACE
    if ready and reported is not None and reported.asleep:
        return Step.NOTE_SLEEP
    if reported is not None and _counts(known, reported):
        return Step.TAKE_OVER
    return Step.LOAD if known.retry_due else Step.NOTHING


def _counts(known: Known, reported: ModelState) -> bool:
    """Return whether the workers are those that we asked for, and are READY or were before.

    Others are loaded: that waits for workers that somebody has begun to start.
    """
    ours = reported.batch_size == known.batch_size and not reported.asleep
    were_ready = known.state in (State.READY, State.RESTARTING)
    return ours and known.state is not State.FAILED and (were_ready or bool(reported.ready))


class Reconciler:
    """Keeps what is known of every model true, and the wanted ones loaded."""

    def __init__(
        self,
        models: ModelRegistry,
        operations: Operations,
        loader: ModelLoader,
        engine: EngineWatch,
        settings: Settings,
        nudged: asyncio.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._operations = operations
        self._loader = loader
        self._engine = engine
        self._settings = settings
        self._nudged = nudged
        self._clock = clock
        self._archives = ArchiveWatch()
        self._settled_once = asyncio.Event()
        self._tried_once = asyncio.Event()

    @property
    def settled(self) -> bool:
        """Whether TorchServe answers and the auto_load models can be used, as the settings ask."""
        every_one = self._settings.requires_all_models
        return self._engine.up and self._models.are_usable(every_one=every_one)

    @property
    def was_settled(self) -> bool:
        """Whether they were at least once."""
        return self._settled_once.is_set()

    async def wait_tried(self) -> None:
        """Wait until every auto_load model can be used, or has failed, for the first time."""
        await self._tried_once.wait()

    async def wait_settled(self) -> None:
        """Wait until they are for the first time."""
        await self._settled_once.wait()

    def nudge(self) -> None:
        """Have it look at once: something has happened."""
        self._nudged.set()

    def restart(self) -> None:
        """Start over: TorchServe has ended, or has been started."""
        self._engine.forget_answers()
        for model in self._models.values():
            model.renew()
        self.nudge()

    async def run(self) -> None:
        """Look and act until cancelled."""
        while True:
            self._nudged.clear()
            for model in list(self._models.values()):
                self._operations.wake_waiting(model)  # before anything that takes time
            await self.look()
            if self._engine.up and self._models.all_tried:
                self._tried_once.set()
            if self.settled:
                self._settled_once.set()
            steady = self.settled and self._engine.steady
            pause = self._settings.poll_seconds if steady else UNSETTLED_POLL_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._nudged.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(SWARM_SECONDS)

    async def look(self) -> None:
        """Look once at TorchServe and at every model, and do what is to be done."""
        was_up = self._engine.up
        if not await self._engine.ping():
            if not self._engine.up:
                if was_up:
                    log.warning("TorchServe does not answer")
                self._models.lose_torchserve(LOST[self._settings.torchserve])
            return
        self._models.find_torchserve()
        marks = await self._look_at_archives()
        for model in list(self._models.values()):
            await self._reconcile(model, marks.get(model.key))

    async def refresh(self, model: Model) -> None:
        """Look once at one model, and do what is to be done to it."""
        await self._reconcile(model, None)

    async def _look_at_archives(self) -> dict[str, ArchiveMark | None]:
        """Return the archives of those models to which they matter now."""
        store = self._settings.model_store
        paths = {
            key: store / model.spec.archive_name(key)
            for key, model in self._models.items()
            if model.state is State.AVAILABLE
            or (self._settings.watch_model_store and model.state is State.READY)
        }
        if not paths:
            return {}
        return await asyncio.to_thread(
            lambda: {key: archive_mark(path) for key, path in paths.items()}
        )

    async def _reconcile(self, model: Model, mark: ArchiveMark | None) -> None:
        try:
            observed = await self._observe(model, mark)
        except (EngineGone, EngineRefused) as exc:
            log.warning("%s: cannot be described: %s", model.key, exc)
            return
        await self._act(model, decide(self._known(model), observed), observed)

    def _known(self, model: Model) -> Known:
        return Known(
            state=model.state,
            wanted=model.wanted,
            at_work=model.operation is not None,
            needs_wake=model.needs_wake,
            retry_due=model.retry.due(self._clock()),
            batch_size=self._loader.batch_size_for(model),
        )

    async def _observe(self, model: Model, mark: ArchiveMark | None) -> Observed:
        """Return what is seen of *model* now.  Raises EngineGone or EngineRefused."""
        if model.operation is not None:
            return Observed()
        reported = await self._loader.describe(model) if model.wanted else None
        ready = mark is not None and model.state is State.READY
        return Observed(
            reported=reported,
            has_archive=mark is not None,
            archive_changed=ready and self._archives.has_changed(model.key, mark),
        )

    async def _act(self, model: Model, step: Step, observed: Observed) -> None:
        match step:
            case Step.FIND_ARCHIVE:
                model.mark_archived("its archive was built")
            case Step.TAKE_OVER:
                assert observed.reported is not None
                await self._loader.take_over(model, observed.reported, "its workers are READY")
            case Step.NOTE_SLEEP:
                model.mark_idle("TorchServe was told to end its workers")
            case Step.LOAD:
                self._operations.load(model, "it is wanted")
            case Step.WAKE:
                self._operations.wake_waiting(model)
            case Step.REPLACE:
                self._operations.replace(model)


class ArchiveWatch:
    """What each loaded model's archive looked like, and whether it is another one now."""

    def __init__(self) -> None:
        self._loaded: dict[str, ArchiveMark | None] = {}
        self._seen: dict[str, ArchiveMark | None] = {}

    def has_changed(self, key: str, mark: ArchiveMark | None) -> bool:
        """Return whether the loaded archive of *key* has been replaced and is completely written.

        It counts as complete when it has not changed since the last look.  A change is reported
        once.
        """
        loaded = self._loaded.setdefault(key, mark)
        still = self._seen.get(key) == mark
        self._seen[key] = mark
        if mark in (None, loaded) or not still:
            return False
        self._loaded[key] = mark
        return True
