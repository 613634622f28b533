"""One model's dispatcher: in-flight batching.

Whenever a slot is free, what waits is taken at once, up to the largest job; there is no
batching timer.  A lone request pays nothing, and a crowd is batched by itself, because it
gathers while the job before it runs.  A slot is a READY worker, or half of one where jobs
are so short that the worker would idle between them.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence

from sidecar.errors import ModelNotReady, Unavailable
from sidecar.scheduling.circuit_breaker import CircuitBreaker
from sidecar.scheduling.entry import Entry
from sidecar.scheduling.job import WorkerMemory
from sidecar.scheduling.job_runner import JobLimits, JobRunner
from sidecar.scheduling.request_queue import RequestQueue
from sidecar.telemetry.prometheus import ModelMetrics
from sidecar.torchserve.client import TorchServeClient


class Dispatcher:
    """Takes entries of one model from its queue into jobs, and gives each its own answer."""

    def __init__(
        self,
        model: str,
        queue: RequestQueue,
        client: TorchServeClient,
        metrics: ModelMetrics,
        limits: JobLimits,
        *,
        on_trouble: Callable[[], None] = lambda: None,
        on_waiting: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self.queue = queue
        self._limits = limits
        self._on_waiting = on_waiting
        self._clock = clock
        self._workers = 0
        self._closed: Unavailable | None = ModelNotReady(f"model_name: {model} is loading")
        self._jobs: set[asyncio.Task[None]] = set()
        self._pump_scheduled = False
        self._breaker = CircuitBreaker()
        self._runner = JobRunner(
            model,
            client,
            metrics,
            limits,
            self._breaker,
            queue_again=self._queue_again,
            on_trouble=on_trouble,
            clock=clock,
        )
        self.used_at = clock()  # when somebody asked, or was answered, last

    @property
    def workers(self) -> int:
        """READY workers."""
        return self._workers

    @property
    def in_flight(self) -> int:
        """Entries inside jobs."""
        return self._runner.in_flight

    @property
    def worker_memory(self) -> dict[int, WorkerMemory]:
        """What each worker, by its process id, told last of its memory; ours to prune."""
        return self._runner.memory

    @property
    def first_waits(self) -> float:
        """Seconds since the first in the queue was put there; 0 when nobody waits."""
        first = self.queue.first
        return 0.0 if first is None else self._clock() - first.enqueued_at

    @property
    def slots(self) -> int:
        """How many jobs may be in flight."""
        return self._workers * (2 if self._runner.jobs_are_short else 1)

    def open(self, workers: int) -> None:
        """*workers* are READY: entries are taken, and what waits is sent."""
        self._workers = workers
        self._closed = None
        self._schedule_pump()

    def pause(self) -> None:
        """No worker is READY for a moment: entries are taken, and wait."""
        self._workers = 0
        self._closed = None

    def close(self, reason: Unavailable) -> None:
        """No worker is READY: new entries are refused with *reason*, and so is what waits."""
        self._workers = 0
        self._closed = reason
        for entry in self.queue.clear():
            entry.refuse(reason)

    def put(self, entries: Sequence[Entry]) -> None:
        """Queue *entries*, all or none.  Raises QueueFull, or why the model is closed."""
        if self._closed is not None:
            raise self._closed.with_traceback(None)
        self._check_breaker()
        self.used_at = self._clock()
        self.queue.put(entries, self._clock())
        self._schedule_pump()

    def _check_breaker(self) -> None:
        now = self._clock()
        if self._breaker.state(now) == "open":
            raise ModelNotReady(
                f"model_name: jobs of {self.model} keep failing",
                retry_after=math.ceil(self._breaker.seconds_left(now)),
            )

    def discard(self, entries: Sequence[Entry]) -> None:
        """Nobody waits for *entries* any more: what of them is queued will not run."""
        self.queue.discard(entries)

    async def until_none_in_flight(self) -> None:
        """Waits until every job that was sent is answered; `pause` sees to it that none is."""
        while self._jobs:
            await asyncio.wait(self._jobs)

    async def stop(self, reason: Unavailable) -> None:
        """Refuses what waits, and ends the jobs in flight with *reason*."""
        self.close(reason)
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    def _schedule_pump(self) -> None:
        # Not at once: entries that arrive in the same turn of the event loop share a job.
        if not self._pump_scheduled:
            self._pump_scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_scheduled = False
        if not self._workers and len(self.queue):
            self._on_waiting(self.model)
        while len(self._jobs) < self._free_slots() and len(self.queue):
            batch = self.queue.take(self._limits.items, self._limits.bytes)
            if not batch:
                return
            job = asyncio.create_task(self._runner.run(batch))
            self._jobs.add(job)
            job.add_done_callback(self._finished)

    def _free_slots(self) -> int:
        """How many jobs may be in flight; while jobs keep failing, one after a pause."""
        now = self._clock()
        match self._breaker.state(now):
            case "closed":
                return self.slots
            case "half_open":
                return min(self.slots, 1)
            case "open":
                later = self._breaker.seconds_left(now) + 0.01
                asyncio.get_running_loop().call_later(later, self._schedule_pump)
                return 0

    def _finished(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        self.used_at = self._clock()
        self._schedule_pump()

    def _queue_again(self, entry: Entry) -> bool:
        """Queues *entry* once more, unless the model is closed."""
        if self._closed is None:
            self.queue.put_back(entry)
        return self._closed is None
