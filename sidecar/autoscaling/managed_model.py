"""One model as the loader holds it: its state, and what is being done to it."""

import asyncio
import itertools
from collections.abc import Coroutine, Iterable
from typing import Any

from sidecar.autoscaling.crash_loop import CrashLoop
from sidecar.autoscaling.eviction import Newcomer
from sidecar.autoscaling.model_status import ModelStatus
from sidecar.autoscaling.retry import Retry
from sidecar.errors import ModelNotReady, Unavailable
from sidecar.scheduling.dispatcher import Dispatcher
from sidecar.scheduling.job import WorkerMemory
from sidecar.schemas.model_spec import ModelSpec

RESTART_GRACE_SECONDS = 15.0  # a worker that died has this long until its queue is refused

_REVISIONS = itertools.count()


class ManagedModel:
    """The loader alone changes it; one operation at a time is under way."""

    def __init__(self, key: str, spec: ModelSpec, dispatcher: Dispatcher | None) -> None:
        self.key = key
        self.spec = spec
        self._dispatcher = dispatcher  # none for a model that is disabled
        self.status = ModelStatus(_first_state(spec))
        self.wanted = spec.enabled and spec.auto_load  # it is to be loaded, or asleep
        self.workers = max(spec.inference.workers.min, 1)  # when it is awake
        self.retry = Retry()
        self.crashes = CrashLoop()
        self.revision = next(_REVISIONS)  # another one: what it answered before counts no more
        self.leaving = False  # its operation takes it out of memory
        self.suspect = False  # it failed: what TorchServe holds of it is not used again
        self.memory_mb = float(spec.requirements.min_memory_mb)  # of a worker, once it was seen
        self.gpu_memory_mb = float(spec.requirements.min_gpu_memory_mb)  # the same
        self.held_gpu_mb: dict[int, float] = {}  # by all its workers, of each GPU
        self.ready_at: float | None = None  # when it was seen so last
        self.awake_since = float("-inf")
        self.changed_at = float("-inf")  # the number of its workers, by us
        self.operation: asyncio.Task[None] | None = None

    @property
    def dispatcher(self) -> Dispatcher:
        """Of an enabled model."""
        assert self._dispatcher is not None
        return self._dispatcher

    @property
    def enabled(self) -> bool:
        """Whether it can be used at all."""
        return self._dispatcher is not None

    @property
    def in_memory(self) -> bool:
        """Whether it holds memory, or is about to."""
        return self.status.state in ("ready", "loading")

    @property
    def usable(self) -> bool:
        """Whether a request is answered, at once or after a wake."""
        out = self.status.state == "archived" and not self.wanted
        return out or self.status.usable

    @property
    def busy(self) -> bool:
        """Whether anything is queued or in flight."""
        return bool(len(self.dispatcher.queue) or self.dispatcher.in_flight)

    def newcomer(self, workers: int | None = None) -> Newcomer:
        """What it needs in memory with *workers*, or with as many as it has when it is awake."""
        device = self.spec.device
        named = [int(device.partition(":")[2])] if ":" in device else self.spec.gpu_ids
        return Newcomer(
            workers=workers or self.workers,
            memory_mb=self.memory_mb,
            gpu_memory_mb=0.0 if device in ("cpu", "mps") else self.gpu_memory_mb,
            gpus=named,
        )

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Starts *work* as the operation; the caller has seen that there is none."""
        assert self.operation is None
        self.leaving = name in ("sleep", "unload")
        self.operation = asyncio.create_task(work, name=f"{name} {self.key}")

    def is_ready(self, status: ModelStatus, held_gpu_mb: dict[int, float], now: float) -> None:
        """Its workers take jobs."""
        if self.status.state != "ready":
            self.awake_since = now
        self.status = status
        self.ready_at = now
        self.suspect = False
        self.retry.succeeded()
        self._take_memory(status)
        measured = [status.memory_mb(worker) or 0.0 for worker in status.workers]
        self.memory_mb = max(*measured, 0.0, float(self.spec.requirements.min_memory_mb))
        self._holds(held_gpu_mb or _reserved_mb(status.memory.values()))
        self.dispatcher.open(len(status.workers))

    def _take_memory(self, status: ModelStatus) -> None:
        """Give *status* what its workers told last, with their jobs or when they were described."""
        told = self.dispatcher.worker_memory
        runtime = status.runtime
        if runtime is not None and runtime.memory is not None:
            told.setdefault(runtime.worker, runtime.memory)
        for gone in told.keys() - set(status.pids):
            del told[gone]
        status.memory = dict(told)

    def _holds(self, gpu_mb: dict[int, float]) -> None:
        """Takes over what was measured; where the driver hides that, what models.json says."""
        least = float(self.spec.requirements.min_gpu_memory_mb)
        count = len(self.status.workers)
        runtime = self.status.runtime
        if not gpu_mb and runtime and runtime.device.startswith("cuda:"):
            gpu_mb = {int(runtime.device.partition(":")[2]): least * count}
        self.held_gpu_mb = gpu_mb
        self.gpu_memory_mb = max(sum(gpu_mb.values()) / count, least)

    def is_away(self, version: str, now: float) -> bool:
        """None of its workers is READY; whether that is so for too long."""
        if self.ready_at is None or now - self.ready_at >= RESTART_GRACE_SECONDS:
            return True
        self.status = ModelStatus("loading", version)
        self.dispatcher.pause()
        return False

    def sleeps(self, version: str | None) -> None:
        """It has no workers, and a request wakes it."""
        self.status = ModelStatus("idle", version)
        self.crashes.forget()
        self.dispatcher.pause()

    def fails(self, error: str, now: float) -> None:
        """It cannot be loaded; it is tried again after a pause that grows."""
        self.suspect = True
        pause = self.retry.failed(now)
        self.status = ModelStatus("failed", error=error)
        self.refuse(error, pause)

    def renewed(self) -> None:
        """What answers for it next may be other weights."""
        self.revision = next(_REVISIONS)

    def trusted_again(self) -> None:
        """Another version, which is READY, answers for it."""
        self.suspect = False
        self.retry.succeeded()
        if self.status.state == "failed":
            self.status = ModelStatus("loading")
            self.dispatcher.pause()

    def refuse_once(self, reason: Unavailable) -> None:
        """Those who wait are refused; who comes later may wait."""
        self.dispatcher.close(reason)
        self.dispatcher.pause()

    def refuse(self, error: str, seconds: float) -> None:
        """Requests get 503, those that wait too."""
        reason = ModelNotReady(f"model_name: {self.key}: {error}", retry_after=max(1, int(seconds)))
        self.dispatcher.close(reason)


def _reserved_mb(told: Iterable[WorkerMemory]) -> dict[int, float]:
    """What workers have reserved of each GPU, in 2^20 bytes."""
    reserved: dict[int, float] = {}
    for each in told:
        if each.gpu is not None:
            reserved[each.gpu] = reserved.get(each.gpu, 0.0) + each.gpu_reserved_bytes / 2**20
    return reserved


def _first_state(spec: ModelSpec) -> Any:
    """Some models' archives may be missing; any other's was built before the start."""
    if not spec.enabled:
        return "disabled"
    return "available" if spec.can_be_missing else "archived"
