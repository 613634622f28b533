"""One model's dispatcher: in-flight batching.

Whenever a slot is free, what waits is taken at once, up to the largest job; there is no
batching timer.  A lone request pays nothing, and a crowd is batched by itself, because it
gathers while the job before it runs.  A slot is a READY worker, or half of one where jobs
are so short that the worker would idle between them.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sidecar.errors import (
    EngineUnavailable,
    InternalError,
    ModelNotReady,
    SidecarError,
    Unavailable,
)
from sidecar.scheduling.circuit_breaker import CircuitBreaker
from sidecar.scheduling.entry import Entry, Reply
from sidecar.scheduling.job import (
    ItemHeader,
    JobAnswerHeader,
    MalformedAnswer,
    Timings,
    decode_answer,
    encode_job,
)
from sidecar.scheduling.job_errors import item_error, job_error
from sidecar.scheduling.request_queue import RequestQueue
from sidecar.telemetry.prometheus import ModelMetrics
from sidecar.torchserve.client import EngineGone, EngineRefused, TorchServeClient

log = logging.getLogger(__name__)

SHORT_JOB_SECONDS = 0.010  # below this a worker gets two jobs in flight
SMOOTHING = 0.1
JOB_GRACE_SECONDS = 10.0  # TorchServe ends a job at its limit; we hang up only after that
MAX_ATTEMPTS = 2


class JobLimits(NamedTuple):
    """The largest job of a model, and how long it may take."""

    items: int
    bytes: int
    seconds: float


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
        self._client = client
        self._metrics = metrics
        self._limits = limits
        self._on_trouble = on_trouble
        self._on_waiting = on_waiting
        self._clock = clock
        self._workers = 0
        self._closed: Unavailable | None = ModelNotReady(f"model_name: {model} is loading")
        self._jobs: set[asyncio.Task[None]] = set()
        self._serial = 0
        self._pump_scheduled = False
        self._mean_job_seconds = SHORT_JOB_SECONDS
        self._breaker = CircuitBreaker()
        self.in_flight = 0  # entries inside jobs
        self.used_at = clock()  # when somebody asked, or was answered, last

    @property
    def workers(self) -> int:
        """READY workers."""
        return self._workers

    @property
    def first_waits(self) -> float:
        """Seconds since the first in the queue was put there; 0 when nobody waits."""
        first = self.queue.first
        return 0.0 if first is None else self._clock() - first.enqueued_at

    @property
    def slots(self) -> int:
        """How many jobs may be in flight."""
        return self._workers * (2 if self._mean_job_seconds < SHORT_JOB_SECONDS else 1)

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

    def put(self, entries: Sequence[Entry], *, first_ahead: bool = False) -> None:
        """Queues *entries*, all or none.  Raises QueueFull, or why the model is closed.

        *first_ahead*: the others follow when the first is answered, so that they cannot make
        its job longer.  They were admitted with it.
        """
        if self._closed is not None:
            raise self._closed.with_traceback(None)
        self._check_breaker()
        self.queue.check_room(entries)
        self.used_at = self._clock()
        now_or_later = 1 if first_ahead else len(entries)
        self.queue.follow(entries[:now_or_later], self._clock())
        if entries[now_or_later:]:
            entries[0].reply.add_done_callback(lambda _: self._follow(entries[now_or_later:]))
        self._schedule_pump()

    def _follow(self, entries: Sequence[Entry]) -> None:
        waiting = [entry for entry in entries if not entry.abandoned]
        if self._closed is not None:
            self._give_up(waiting, self._closed)
            return
        self.queue.follow(waiting, self._clock())
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
            job = asyncio.create_task(self._run(batch))
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

    async def _run(self, batch: Sequence[Entry]) -> None:
        """Runs one job.  Every entry of *batch* is answered, refused, or queued again."""
        self.in_flight += len(batch)
        started = self._clock()
        try:
            header, bodies = await self._ask(batch)
            self._breaker.succeeded()
            self._took(batch, started, header.timings)
            self._answer(batch, header, bodies)
        except EngineGone as exc:
            self._failed()
            error = EngineUnavailable("inputs: TorchServe went away", retry_after=2)
            self._try_again(batch, error, alone=exc.reached)
        except EngineRefused as exc:
            self._failed()
            self._after_refusal(batch, exc)
        except MalformedAnswer as exc:
            log.error(  # noqa: TRY400 - a sentence says it all
                "%s: %s", self.model, exc, extra=_asked_by(batch)
            )
            self._give_up(batch, InternalError())
        except Exception:
            log.exception(
                "a job of %s failed in the dispatcher", self.model, extra=_asked_by(batch)
            )
            self._give_up(batch, InternalError())
        finally:
            self.in_flight -= len(batch)
            self._give_up(batch, Unavailable("the server is stopping"), unless_queued=True)

    async def _ask(self, batch: Sequence[Entry]) -> tuple[JobAnswerHeader, list[bytes]]:
        items = [
            ItemHeader(
                str(index),
                len(entry.body),
                entry.type,
                entry.parameters,
                entry.traceparent,
                entry.request_id,
            )
            for index, entry in enumerate(batch)
        ]
        job = encode_job(items, [entry.body for entry in batch])
        answer = await self._client.predict(
            self.model, job, self._limits.seconds + JOB_GRACE_SECONDS
        )
        return decode_answer(answer, len(batch))

    def _took(self, batch: Sequence[Entry], started: float, timings: Timings) -> None:
        # The handler's own time: ours holds the wait behind the job before, too.
        in_handler = (timings.decode_ms + timings.forward_ms + timings.encode_ms) / 1000
        self._mean_job_seconds += SMOOTHING * (in_handler - self._mean_job_seconds)
        self._metrics.job(len(batch), self._clock() - started)
        for entry in batch:
            self._metrics.queue_wait(started - entry.enqueued_at)

    def _answer(
        self, batch: Sequence[Entry], header: JobAnswerHeader, bodies: Sequence[bytes]
    ) -> None:
        self._serial += 1
        for entry, item, body in zip(batch, header.items, bodies, strict=True):
            if item.status == 200:
                entry.answer(
                    Reply(
                        body,
                        header.device,
                        item.forward_pass,
                        self._serial,
                        header.worker,
                        item.parameters,
                        header.timings,
                    )
                )
            else:
                entry.refuse(item_error(item))

    def _after_refusal(self, batch: Sequence[Entry], refusal: EngineRefused) -> None:
        log.warning(
            "a job of %d for %s: %s", len(batch), self.model, refusal, extra=_asked_by(batch)
        )
        self._try_again(batch, job_error(self.model, refusal), alone=True)

    def _failed(self) -> None:
        self._on_trouble()
        if self._breaker.failed(self._clock()):
            log.error("%s: jobs keep failing; none are sent for a while", self.model)

    def _try_again(self, batch: Sequence[Entry], error: SidecarError, *, alone: bool) -> None:
        """Each once more: a repeat is safe, since models keep nothing of a request.

        *alone*: whoever made the job fail must not harm the others.
        """
        for entry in batch:
            entry.attempts += 1
            entry.alone = entry.alone or alone
            if entry.abandoned:
                continue
            if entry.attempts >= MAX_ATTEMPTS or self._closed is not None:
                entry.refuse(error)
            else:
                self.queue.put_back(entry)

    @staticmethod
    def _give_up(
        batch: Sequence[Entry], error: SidecarError, *, unless_queued: bool = False
    ) -> None:
        for entry in batch:
            if not (unless_queued and entry.queued):
                entry.refuse(error)


def _asked_by(batch: Sequence[Entry]) -> dict[str, str]:
    """For a log line: the requests that share the job, in place of the one that it began in."""
    ids = dict.fromkeys(entry.request_id for entry in batch if entry.request_id)
    return {"request_id": ",".join(ids)}
