"""One model for as long as it is in the program: its spec, queue, workers, and state."""

import asyncio
import itertools
import logging
import time
import warnings
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import Any, Literal

import msgspec

from sidecar.errors import EngineUnavailable, ModelNotReady, Unavailable
from sidecar.models.crash_loop import CrashLoop
from sidecar.models.eviction import Newcomer
from sidecar.models.history import Change, History
from sidecar.models.states import (
    GATES,
    IN_MEMORY,
    LOADED,
    SLEEPING,
    STARTING,
    Gate,
    IllegalTransition,
    State,
    may_follow,
)
from sidecar.scheduling.dispatcher import Dispatcher, DispatcherFactory
from sidecar.scheduling.job_format import WorkerMemory
from sidecar.schemas.model_spec import ModelSpec
from sidecar.settings import MB
from sidecar.timing import Retry
from sidecar.torchserve.client import WorkerState

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 300.0
DYING_AGAIN_SECONDS = 15.0  # that workers which die as they are restarted have to recover
NOT_SEEN: Mapping[int, int] = {}
LEAVING = frozenset({"sleep", "unload", "install", "remove"})  # operations that free memory

_REVISIONS = itertools.count()


class OutputFacts(msgspec.Struct, frozen=True):
    """What a model answers to one input, where that is numbers."""

    shape: tuple[int, ...]
    dtype: Literal["float32", "int64"]


class Runtime(msgspec.Struct):
    """What a model's handler says of itself once it is loaded."""

    device: str
    precision: str
    compile: bool = False
    tensorrt: bool = False
    worker: int = 0  # the process that said it
    memory: WorkerMemory | None = None  # which it held
    output: OutputFacts | None = None  # one of numbers


class Model:
    """One model, from entering the program to leaving it.

    Its state changes by the methods `mark_…`, `pause`, `resume` and `retire`, which all go
    through `_move`.  The queue's gate follows from the state and from whether TorchServe
    answers, in `_set_gate` alone.  At most one operation is under way.  Everything runs in the
    event loop: no thread touches a model.

    *nudged* is set when the reconciler ought to look at once.
    """

    dispatcher: Dispatcher  # what takes its entries; only an enabled model has one

    def __init__(
        self,
        key: str,
        spec: ModelSpec,
        dispatchers: DispatcherFactory,
        history: History,
        nudged: asyncio.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.key = key
        self.change_spec(spec)
        self._history = history
        self._nudged = nudged
        self._clock = clock
        self.enabled = spec.enabled  # it can be used at all
        if spec.enabled:
            self.dispatcher = dispatchers.build(
                key, spec, on_trouble=nudged.set, on_waiting=self._ask_to_be_woken
            )
        self._state = _first_state(spec)
        self.loaded = False  # workers of it are READY; follows from the state
        self._refusal: Unavailable = ModelNotReady(f"{key} is loading", field="model_name")
        self._unreachable: Unavailable | None = self._refusal  # TorchServe; None: it answers
        self.version: str | None = None
        self.workers: list[WorkerState] = []  # those that are READY
        self.runtime: Runtime | None = None
        self.output: OutputFacts | None = None  # as last told, also while it sleeps
        self.error: str | None = None  # why it failed, or is not here; kept while it is tried again
        self.wanted = spec.enabled and spec.auto_load  # it is to be loaded, or asleep
        self.target_workers = max(spec.inference.workers.min, 1)  # when it is awake
        self.retry = Retry(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        self.crashes = CrashLoop()
        self._revision = next(_REVISIONS)
        self.suspect = False  # it failed: what TorchServe holds of it is not used again
        self.memory_mb = float(
            spec.requirements.min_memory_mb
        )  # of a worker: declared, or measured
        self.seen_rss_bytes: Mapping[int, int] = {}  # of its processes, as this machine sees them
        self.gpu_memory_mb = float(spec.requirements.min_gpu_memory_mb)  # the same
        self.held_gpu_mb: dict[int, float] = {}  # by all its workers, of each GPU
        self.ready_at: float | None = None  # when a worker was last seen READY
        self._away_pids: set[int] = set()  # processes of its workers seen since none is READY
        self.awake_since = float("-inf")
        self.changed_at = float("-inf")  # when its number of workers was last changed by us
        self.operation: asyncio.Task[None] | None = None
        self._operation_name = ""

    def change_spec(self, spec: ModelSpec) -> None:
        """Note that its entry says *spec*.

        It is *plain* if an input for it needs nothing but a place in its queue; it *forwards* if
        that is true of a whole request, because it has a custom handler.
        """
        self.spec = spec
        special = spec.speaks_or_listens or spec.limits is not None
        self.plain = not (special or spec.is_own or spec.cache)
        self.forwards = spec.is_own and not special

    # What it is now

    @property
    def state(self) -> State:
        """The state that it is in."""
        return self._state

    @property
    def in_memory(self) -> bool:
        """Whether it holds memory, or is about to."""
        return self._state in IN_MEMORY

    @property
    def answers(self) -> bool:
        """Whether a request is answered, at once or after a wake from TorchServe.

        Of one that failed and is tried again, nobody knows before it is READY.
        """
        waking = self._state is State.WAKING and self.error is None
        return self.loaded or waking or self._state is State.IDLE

    @property
    def usable(self) -> bool:
        """Whether a request is answered: as `answers`, or by a load that nobody has begun yet."""
        return self.answers or (self._state is State.ARCHIVED and not self.wanted)

    @property
    def busy(self) -> bool:
        """Whether anything is queued or in flight."""
        return bool(len(self.dispatcher.queue) or self.dispatcher.in_flight)

    @property
    def needs_wake(self) -> bool:
        """Whether entries wait that only a wake can answer."""
        return self._state in SLEEPING and self.enabled and len(self.dispatcher.queue) > 0

    @property
    def leaving(self) -> bool:
        """Whether its operation takes it out of memory."""
        return self.operation is not None and self._operation_name in LEAVING

    @property
    def pids(self) -> list[int]:
        """The processes of the READY workers."""
        return [worker.pid for worker in self.workers]

    @property
    def identity(self) -> str:
        """Which weights answer; when this changes, cached results are no longer valid."""
        return f"{self.version or self.spec.version} {self._revision}"

    @property
    def gate(self) -> Gate:
        """What happens to its entries."""
        return GATES[self._state] if self._unreachable is None else Gate.CLOSED

    def worker_memory_mb(self, worker: WorkerState) -> float | None:
        """Return what *worker* holds, in 2^20 bytes; None while nobody has measured it.

        It says so itself; that of a custom handler is seen from outside, if it runs on this
        machine, or told by TorchServe.
        """
        told = self.dispatcher.worker_memory.get(worker.pid)
        seen = self.seen_rss_bytes.get(worker.pid, worker.memory_usage)
        held = seen if told is None else told.rss_bytes
        return held / MB or None

    def newcomer(self, workers: int | None = None) -> Newcomer:
        """Return what it needs in memory with *workers*, or with as many as it has awake."""
        device = self.spec.device
        named = [int(device.partition(":")[2])] if ":" in device else self.spec.gpu_ids
        return Newcomer(
            workers=workers or self.target_workers,
            memory_mb=self.memory_mb,
            gpu_memory_mb=0.0 if device in ("cpu", "mps") else self.gpu_memory_mb,
            gpus=named,
        )

    # Its operation

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start *work* as the operation; the caller has seen that there is none."""
        assert self.operation is None, f"{self.key}: {self._operation_name} is under way"
        self._operation_name = name
        self.operation = asyncio.create_task(work, name=f"{name} {self.key}")
        return self.operation

    def end_operation(self) -> None:
        """Note that the operation is over."""
        self.operation = None

    # Its life

    def mark_available(self, error: str | None = None) -> None:
        """Note that there is no archive of it."""
        text = error or "its archive is not in the model store"
        self._move(State.AVAILABLE, text, refusal=self._not_ready(text, 5.0))
        self.error = error

    def mark_downloading(self) -> None:
        """Note that its archive is being downloaded."""
        self._move(
            State.DOWNLOADING,
            "its download has begun",
            refusal=self._not_ready("it is being downloaded", 5.0),
        )

    def mark_archived(
        self, reason: str, *, refuse: Unavailable | None = None, change: Change | None = None
    ) -> None:
        """Note that it has an archive and is not in memory; refuse who waits with *refuse*."""
        self.crashes.forget()
        self._move(State.ARCHIVED, reason, change=change)
        if refuse is not None:
            self.refuse_waiting(refuse)

    def mark_loading(self, reason: str) -> None:
        """Note that it is being loaded without a request."""
        self._move(State.LOADING, reason, refusal=self._not_ready("it is loading", 2.0))

    def mark_waking(self, reason: str) -> None:
        """Note that it is being loaded for a request: at once, whatever failed before."""
        self.wanted = True
        self.retry.end_pause()
        self._move(State.WAKING, reason, version=self.version)

    def mark_ready(
        self,
        version: str,
        workers: list[WorkerState],
        runtime: Runtime | None,
        gpu_mb: dict[int, float],
        reason: str,
        *,
        rss_bytes: Mapping[int, int] = NOT_SEEN,
        change: Change | None = None,
    ) -> None:
        """Note that *workers* take jobs, and what they hold.

        *gpu_mb* is by GPU, *rss_bytes* by process.
        """
        if not self.loaded:
            self.awake_since = self._clock()
        self.ready_at = self._clock()
        self._away_pids.clear()
        self.suspect = False
        self.output = runtime.output if runtime is not None else self.output
        self.retry.record_success()
        self._move(
            State.READY, reason, change=change, version=version, workers=workers, runtime=runtime
        )
        told = self._take_told_memory()
        self.seen_rss_bytes = rss_bytes
        measured = list(filter(None, map(self.worker_memory_mb, workers)))
        self.memory_mb = max(measured, default=self.memory_mb)
        self._hold_gpu_memory(gpu_mb or _reserved_mb(told))

    def mark_away(self, version: str, workers: Collection[WorkerState]) -> None:
        """Note that none of *workers* is READY; if none comes back in time, it has failed.

        TorchServe starts them again, for which they have as long as for a load.  If they die again
        as they start, as broken ones do, they have less.
        """
        self._away_pids.update(worker.pid for worker in workers if worker.pid > 0)
        dying = len(self._away_pids) > 2 * len(workers)  # each died, and so did the one after it
        startup = self.spec.inference.startup_timeout_seconds
        limit = min(startup, DYING_AGAIN_SECONDS) if dying else startup
        if self.ready_at is None or self._clock() - self.ready_at >= limit:
            self.mark_failed("its workers do not become READY")
        else:
            self._move(State.RESTARTING, "no worker is READY", version=version)

    def mark_idle(self, reason: str, *, change: Change | None = None) -> None:
        """Note that it has no workers; a request wakes it."""
        self.crashes.forget()
        self._move(State.IDLE, reason, change=change, version=self.version)

    def mark_failed(self, error: str, *, change: Change | None = None) -> None:
        """Note that it cannot be loaded; it is tried again after a pause that grows.

        The log tells an error once, however often it comes back.
        """
        self.suspect = True
        pause = self.retry.record_failure(self._clock())
        self._move(State.FAILED, error, refusal=self._not_ready(error, pause), change=change)
        self.error = error

    def mark_removing(self, refusal: Unavailable) -> None:
        """Note that it is being taken out; refuse requests with *refusal*."""
        self.wanted = False
        self._move(State.REMOVING, refusal.detail, refusal=refusal)

    def retire(self, refusal: Unavailable) -> None:
        """Note that it has left the program for good; refuse what still waits with *refusal*."""
        self.wanted = False
        self._move(State.REMOVED, refusal.detail, refusal=refusal)

    def pause(self, reason: str) -> None:
        """Send no more jobs: some of its workers are about to be ended, which is not a crash."""
        self.crashes.forget()
        self._move(
            State.PAUSED, reason, version=self.version, workers=self.workers, runtime=self.runtime
        )

    def resume(self, reason: str) -> None:
        """Send jobs again, to the workers that there were."""
        self._move(
            State.READY, reason, version=self.version, workers=self.workers, runtime=self.runtime
        )

    def record_change(self, change: Change, reason: str) -> None:
        """Remember that its number of workers was changed, by us."""
        self.changed_at = self._clock()
        self._history.add_change(self.key, change, reason)

    def renew(self) -> None:
        """Note that other weights, in other processes, may answer for it from now on."""
        self._revision = next(_REVISIONS)
        self.crashes.forget()

    def trust_again(self) -> None:
        """Note that another version, which is READY, answers for it."""
        self.suspect = False
        self.retry.record_success()
        if self._state is State.FAILED:
            self._move(State.RESTARTING, "another version is the default")

    def lose_torchserve(self, reason: str) -> None:
        """Note that TorchServe does not answer: what it held is lost."""
        if not self.enabled:
            return
        if self._unreachable is None:
            self.renew()
        self._unreachable = EngineUnavailable(reason)
        self.retry.end_pause()
        held = self._state in (*IN_MEMORY, State.FAILED) and self.operation is None
        if held and self.wanted:
            self.mark_loading("TorchServe does not answer")
        elif held:
            self.mark_archived("TorchServe does not answer")
        self._set_gate()

    def find_torchserve(self) -> None:
        """Note that TorchServe answers."""
        if self._unreachable is not None:
            self._unreachable = None
            self._set_gate()

    def refuse_waiting(self, reason: Unavailable) -> None:
        """Refuse the requests that wait now; later ones may wait."""
        if self.enabled:
            self.dispatcher.refuse_waiting(reason)

    def _move(
        self,
        after: State,
        reason: str,
        *,
        refusal: Unavailable | None = None,
        change: Change | None = None,
        version: str | None = None,
        workers: list[WorkerState] | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """Change the state to *after*, with all that depends on it; nothing else changes it."""
        before = self._state
        if before is not after:
            if not may_follow(before, after):
                self._report_illegal(before, after, reason)
            self._state = after
            self.loaded = after in LOADED
            self._history.add_transition(self.key, before, after, reason)
            told = self.error is not None and (after in STARTING or reason == self.error)
            _log_transition(self.key, before, after, reason, change, quiet=told)
        self.version, self.workers, self.runtime = version, workers or [], runtime
        if after not in STARTING:  # what failed before is being tried again
            self.error = None
        if refusal is not None:
            self._refusal = refusal
        if change is not None:
            self.record_change(change, reason)
        self._set_gate()

    def _set_gate(self) -> None:
        """Set the gate of the queue to what the state demands; nothing else moves it."""
        if not self.enabled:
            return
        match self.gate:
            case Gate.OPEN:
                self.dispatcher.open(len(self.workers), self.version or self.spec.version)
            case Gate.HELD:
                self.dispatcher.hold()
            case Gate.CLOSED:
                self.dispatcher.close(self._unreachable or self._refusal)

    def _report_illegal(self, before: State, after: State, reason: str) -> None:
        message = f"{self.key}: no model goes from {before} to {after} ({reason})"
        self._history.add_illegal()
        log.error("%s", message, stack_info=True)
        warnings.warn(message, IllegalTransition, stacklevel=4)

    def _take_told_memory(self) -> Iterable[WorkerMemory]:
        """Return what its workers told last, with their jobs or when they were described."""
        told = self.dispatcher.worker_memory
        if self.runtime is not None and self.runtime.memory is not None:
            told.setdefault(self.runtime.worker, self.runtime.memory)
        for gone in told.keys() - set(self.pids):
            del told[gone]
        return told.values()

    def _hold_gpu_memory(self, gpu_mb: dict[int, float]) -> None:
        """Take over what was measured; where the driver hides that, what models.json says."""
        least, count = float(self.spec.requirements.min_gpu_memory_mb), len(self.workers)
        if not gpu_mb and self.runtime and self.runtime.device.startswith("cuda:"):
            gpu_mb = {int(self.runtime.device.partition(":")[2]): least * count}
        self.held_gpu_mb = gpu_mb
        self.gpu_memory_mb = max(sum(gpu_mb.values()) / count, least)

    def _not_ready(self, error: str, seconds: float) -> ModelNotReady:
        return ModelNotReady(
            f"{self.key}: {error}", field="model_name", retry_after=max(1, int(seconds))
        )

    def _ask_to_be_woken(self) -> None:
        """Have the reconciler look if entries wait and no worker is READY."""
        if self.needs_wake:
            self._nudged.set()


def _reserved_mb(told: Iterable[WorkerMemory]) -> dict[int, float]:
    """Return what workers have reserved of each GPU, in 2^20 bytes."""
    reserved: dict[int, float] = {}
    for each in told:
        if each.gpu is not None:
            reserved[each.gpu] = reserved.get(each.gpu, 0.0) + each.gpu_reserved_bytes / MB
    return reserved


def _first_state(spec: ModelSpec) -> State:
    """Return the state at the start: some archives may be missing, all others were built before."""
    if not spec.enabled:
        return State.DISABLED
    return State.AVAILABLE if spec.can_be_missing else State.ARCHIVED


def _level_of(state: State) -> int:
    """Return the level at which the log says that a model has entered *state*."""
    match state:
        case State.FAILED:
            return logging.ERROR
        case State.RESTARTING:
            return logging.WARNING
        case State.DISABLED | State.AVAILABLE | State.DOWNLOADING | State.ARCHIVED:
            return logging.INFO
        case State.LOADING | State.WAKING | State.READY | State.PAUSED | State.IDLE:
            return logging.INFO
        case State.REMOVING | State.REMOVED:
            return logging.INFO


def _log_transition(
    key: str, before: State, after: State, reason: str, change: Change | None, *, quiet: bool
) -> None:
    """Log one line; *quiet*: it repeats what was logged when it first failed."""
    level = logging.DEBUG if quiet else _level_of(after)
    taken = f" after {change.seconds:.1f} s" if change else ""
    log.log(level, "%s: %s -> %s%s (%s)", key, before, after, taken, reason)
