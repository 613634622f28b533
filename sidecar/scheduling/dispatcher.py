"""One model's dispatcher: in-flight batching.

Whenever something has changed, the dispatcher asks the model's runner how many jobs to send.  The
runner counts the slots, in which jobs may be in flight, and plans: a job is usually sent as soon as
a slot is free.  So a lone request pays nothing, and a crowd is batched by itself, because it
gathers while the job before it runs.  Where a short wait makes jobs fuller, the plan says so:
`gathering` does that for short jobs, and `bursts` for custom handlers.
"""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import NamedTuple

from sidecar.errors import ModelNotReady, Unavailable
from sidecar.scheduling.batch_runner import BatchRunner
from sidecar.scheduling.circuit_breaker import CircuitBreaker
from sidecar.scheduling.entry import Entry
from sidecar.scheduling.entry_queue import EntryQueue
from sidecar.scheduling.job_format import WorkerMemory
from sidecar.scheduling.job_runner import JobRunner
from sidecar.scheduling.request_runner import RequestRunner
from sidecar.scheduling.runner import JobLimits, Runner, RunnerCallbacks, Running
from sidecar.scheduling.writing_runner import WritingJobRunner
from sidecar.schemas.model_spec import ModelSpec
from sidecar.settings import MB, Settings
from sidecar.telemetry.prometheus import Metrics
from sidecar.torchserve.client import TorchServeClient


class Runners(NamedTuple):
    """What builds a model's runner: of jobs for our handlers, or of requests for others.

    *writing* is of jobs whose answers arrive in pieces; *batch* is of requests that our workers
    take in batches.
    """

    job: Callable[..., Runner] = JobRunner
    request: Callable[..., Runner] = RequestRunner
    writing: Callable[..., Runner] = WritingJobRunner
    batch: Callable[..., Runner] = BatchRunner

    def of(self, spec: ModelSpec, *, batches: bool) -> Callable[..., Runner]:
        """Return what builds the runner of the model that *spec* describes.

        *batches*: its workers take batches of requests.
        """
        if spec.is_own:
            return self.batch if batches else self.request
        return self.writing if spec.writes_completions else self.job


PLAIN_RUNNERS = Runners()


class Dispatcher:
    """Takes entries of one model from its queue, and gives them to the runner, which answers them.

    *build_runner* is given what the runner shares with it.  *on_trouble* is called when a job has
    failed at TorchServe, *on_waiting* when entries wait and no worker is READY.  `open`, `hold`
    and `close` are the gate: the model moves it.
    """

    def __init__(
        self,
        model: str,
        queue: EntryQueue,
        build_runner: Callable[..., Runner],
        limits: JobLimits,
        *,
        on_trouble: Callable[[], None],
        on_waiting: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self.queue = queue
        self._limits = limits
        self._on_waiting = on_waiting
        self._clock = clock
        self._closed: Unavailable | None = ModelNotReady(f"{model} is loading", field="model_name")
        self._job_ended = asyncio.Event()
        self._pump_scheduled = False
        self._breaker = CircuitBreaker()
        self._runner = build_runner(
            self._breaker,
            RunnerCallbacks(self._queue_again, on_trouble, self._note_end),
            clock=clock,
        )
        self.used_at = clock()  # when somebody asked, or was answered, last

    @property
    def workers(self) -> int:
        """READY workers."""
        return self._runner.workers

    @property
    def closed(self) -> bool:
        """Whether entries are refused."""
        return self._closed is not None

    @property
    def in_flight(self) -> int:
        """Entries inside jobs."""
        return self._runner.in_flight

    @property
    def requests_waiting(self) -> int:
        """How many requests of clients wait with all their inputs."""
        return len({_asker(entry) for entry in self.queue} - self._running_requests())

    @property
    def requests_running(self) -> int:
        """How many requests of clients have inputs in jobs."""
        return len(self._running_requests())

    def _running_requests(self) -> set[int]:
        return {_asker(entry) for batch in self._runner.jobs.values() for entry in batch}

    @property
    def oldest_seconds(self) -> float:
        """Seconds since the oldest input came that waits or is in a job; 0 without any."""
        begun = [entry.enqueued_at for batch in self._runner.jobs.values() for entry in batch]
        begun += [entry.enqueued_at for entry in self.queue]
        return self._clock() - min(begun) if begun else 0.0

    @property
    def worker_memory(self) -> dict[int, WorkerMemory]:
        """What each worker last reported of its memory, by process id; the owner may prune it."""
        return self._runner.memory

    @property
    def first_waits(self) -> float:
        """Seconds since the first in the queue was put there; 0 when nobody waits."""
        first = self.queue.first
        return 0.0 if first is None else self._clock() - first.enqueued_at

    @property
    def slots(self) -> int:
        """How many jobs may be in flight."""
        return self._runner.slots

    def open(self, workers: int, version: str = "") -> None:
        """Take entries, and send what waits: *workers* of *version* are READY."""
        self._runner.employ(workers)
        self._runner.version = version
        self._closed = None
        self._schedule_pump()

    def hold(self) -> None:
        """Take entries and let them wait: for now, or until a wake, no worker is READY."""
        self._runner.employ(0)
        self._closed = None

    def close(self, reason: Unavailable) -> None:
        """Refuse new entries with *reason*, and those that wait: no worker is READY."""
        self._runner.employ(0)
        self._closed = reason
        self.refuse_waiting(reason)

    def refuse_waiting(self, reason: Unavailable) -> None:
        """Refuse the entries that wait; the gate stays as it is."""
        for entry in self.queue.clear():
            entry.refuse(reason)

    def put(self, entries: Sequence[Entry]) -> None:
        """Queue *entries*, all or none.  Raises QueueFull, or why the model is closed."""
        if self._closed is not None:
            raise self._closed.with_traceback(None)
        if not self._breaker.at_rest:
            self._check_breaker()
        self.used_at = now = self._clock()
        self._schedule_pump()  # for the next turn of the event loop, when they wait
        self.queue.put(entries, now)

    def _check_breaker(self) -> None:
        now = self._clock()
        if self._breaker.state(now) == "open":
            raise ModelNotReady(
                f"jobs of {self.model} keep failing",
                field="model_name",
                retry_after=math.ceil(self._breaker.seconds_left(now)),
            )

    def discard(self, entries: Sequence[Entry]) -> None:
        """Drop those of *entries* that are still queued: nobody waits for them any more."""
        self.queue.discard(entries)

    def put_back(self, entry: Entry) -> None:
        """Queue *entry* again, at the place that its first arrival gave it, or refuse it."""
        if self._queue_again(entry):
            self._schedule_pump()
        elif self._closed is not None:
            entry.refuse(self._closed)

    async def until_none_in_flight(self) -> None:
        """Wait until every sent job has been answered; a held gate lets no others be sent."""
        await self._until_ended(self._runner.jobs)

    async def cancel_jobs(self) -> None:
        """End the jobs in flight; their entries are refused."""
        await asyncio.sleep(0)  # a task that has not begun would end without refusing anything
        jobs = list(self._runner.jobs)
        for job in jobs:
            job.cancel()
        await self._until_ended(jobs)

    async def _until_ended(self, jobs: Collection[Running]) -> None:
        while any(job in self._runner.jobs for job in jobs):
            self._job_ended.clear()
            await self._job_ended.wait()

    def _schedule_pump(self) -> None:
        # Not at once: entries that arrive in the same turn of the event loop share a job.
        if not self._pump_scheduled:
            self._pump_scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_scheduled = False
        if self.queue.waiting and not self._runner.workers:
            self._on_waiting()
        while self.queue.waiting and self._send():
            pass

    def _send(self) -> bool:
        """Send jobs as the runner plans it, where slots are free; return whether any were sent."""
        queue, runner = self.queue, self._runner
        slots = runner.slots if self._breaker.at_rest else self._slots_while_failing()
        free = slots - len(runner.jobs)
        if free <= 0:
            return False
        plan = runner.plan(queue)
        if plan.pause is not None:
            asyncio.get_running_loop().call_later(plan.pause, self._schedule_pump)
        for sent in range(min(plan.jobs, free)):
            if sent and (first := queue.first) is not None and first.alone:
                return True
            batch = queue.take(runner.most_entries, self._limits.bytes, runner.most_with_urgent)
            if not batch:
                return sent > 0
            runner.start(batch)
        return plan.jobs > 0

    def _slots_while_failing(self) -> int:
        """Return how many jobs may be in flight while jobs keep failing: one, after a pause."""
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

    def _note_end(self) -> None:
        """Note that a job has ended, and send what waits for its slot."""
        self.used_at = self._clock()
        self._job_ended.set()
        if self.queue.waiting:
            self._schedule_pump()

    def _queue_again(self, entry: Entry) -> bool:
        """Queue *entry* once more, unless the model is closed; return whether it was queued."""
        if self._closed is None:
            self.queue.put_back(entry)
        return self._closed is None


def _asker(entry: Entry) -> int:
    """Return what is the same for all entries of one request, and different for each request.

    That is the identity of the text, which is made anew for each request: clients may give
    several requests the same id.
    """
    return id(entry if entry.request_id is None else entry.request_id)


class DispatcherFactory:
    """Builds each model's dispatcher, by its spec and the limits in the settings."""

    def __init__(
        self,
        settings: Settings,
        client: TorchServeClient,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        runners: Runners = PLAIN_RUNNERS,
    ) -> None:
        self._runners = runners
        self._settings = settings
        self._client = client
        self._metrics = metrics
        self._clock = clock

    def build(
        self,
        key: str,
        spec: ModelSpec,
        *,
        on_trouble: Callable[[], None],
        on_waiting: Callable[[], None],
    ) -> Dispatcher:
        """Return a dispatcher for *key*; it is closed."""
        settings = self._settings
        build = self._runners.of(spec, batches=self._client.takes_batches_for(spec))
        limits = JobLimits(
            spec.inference.batch_size if spec.is_own else spec.inference.max_batch_size,
            # A custom handler's batch may hold as much as one request of its clients.
            int((settings.max_body_mb if spec.is_own else settings.max_job_mb) * MB),
            spec.inference.job_timeout_seconds,
            continuous=spec.inference.continuous_batching,
            delay=spec.torchserve_batch_delay_ms / 1000,
        )
        return Dispatcher(
            key,
            EntryQueue(
                max_entries=spec.inference.queue_size,
                max_bytes=int(settings.max_queued_mb * MB),
                ageing_seconds=settings.ageing_seconds,
            ),
            partial(build, key, self._client, self._metrics.model(key), limits),
            limits,
            on_trouble=on_trouble,
            on_waiting=on_waiting,
            clock=self._clock,
        )
