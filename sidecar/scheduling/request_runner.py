"""One request to a custom handler, where TorchServe makes the batches.

That is so for a TorchServe that somebody else runs, and for archives whose workers are started, or
given requests, in a way of their own; `batch_runner` is for all others.

As many requests are in flight as all workers can hold, and a batch more just before one is free.
All others wait in the queue here, in order of their rank.  `bursts` says when they are sent.  Like
a job, a request is made of callbacks: only an answer that comes in pieces has a task.
"""

import asyncio
import logging
from collections.abc import Sequence
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, cast

from sidecar.errors import (
    EngineUnavailable,
    Exhausted,
    InternalError,
    ModelNotReady,
    SidecarError,
    Unavailable,
    WorkerDied,
)
from sidecar.scheduling.bursts import MOST_AHEAD, Burst, Bursts
from sidecar.scheduling.entry import Entry
from sidecar.scheduling.entry_queue import EntryQueue
from sidecar.scheduling.piece_stream import PieceStream
from sidecar.scheduling.plan import WAIT, Plan
from sidecar.scheduling.runner import Runner, Running, asked_by
from sidecar.torchserve.client import MAX_FORWARDED
from sidecar.torchserve.failures import EngineGone, EngineOutOfReach, EngineRefused
from sidecar.torchserve.forwarding import EngineResponse, ForwardedRequest

log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0  # TorchServe ends a batch at its limit; we hang up only after that
BUSY_SECONDS = 0.02  # until a request is sent again that TorchServe had no room for
WORKER_DIED = "Worker died."  # nothing else tells it from an exception of status 500


class _Verdict(Enum):
    """What a response is."""

    ANSWER = auto()  # the handler's, or TorchServe's word on this request alone
    BATCH_FAILED = auto()  # whose request made it fail is not said
    WORKER_DIED = auto()
    BUSY = auto()  # TorchServe's own queue is full, or no worker has a ticket
    MODEL_GONE = auto()


class ForwardedJob:
    """One request on its way: what TorchServe makes of it is told here."""

    __slots__ = ("_runner", "asked", "burst", "entry", "started")

    asked: Running  # of TorchServe

    def __init__(self, runner: "RequestRunner", entry: Entry, burst: Burst, started: float) -> None:
        self._runner = runner
        self.entry = entry
        self.burst = burst
        self.started = started

    def answered(self, response: EngineResponse) -> None:
        """Answer the entry, or try it again, by what *response* says."""
        self._runner.finish(self, response)

    async def stream(self, response: EngineResponse) -> None:
        """Answer the entry, and pass the pieces on."""
        await self._runner.pass_on(self, response)

    def failed(self, exc: Exception) -> None:
        """Refuse the entry, or queue it again, by what has gone wrong."""
        self._runner.fail(self, exc)

    def cancel(self) -> None:
        """End it; the entry is refused."""
        self.asked.cancel()
        self._runner.end(self)


class RequestRunner(Runner):
    """Forwards requests of one model; *limits.items* is the size of TorchServe's batches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bursts = Bursts(self._limits.items, self._limits.delay)
        self.most_entries = 1  # sent together: TorchServe takes requests one by one
        self._alone = False  # whoever is in flight is to have no company
        self._seconds = 2 * self._limits.seconds + GRACE_SECONDS

    def _count_slots(self) -> int:
        """Return how many requests may be in flight: a batch for each worker, and those ahead."""
        if not self.workers:
            return 0
        ahead = 1 if self._limits.continuous else MOST_AHEAD
        return min(self._limits.items * (self.workers + ahead), MAX_FORWARDED)

    def plan(self, queue: EntryQueue) -> Plan:
        """Return how many requests to send now; one that is to have no company is sent alone."""
        first, waiting, jobs = queue.first, queue.waiting, len(self.jobs)
        assert first is not None
        if jobs and self._limits.items > 1 and (self._alone or first.alone):
            return WAIT
        self._alone = first.alone
        now = self._clock()
        if first.alone or self._limits.continuous:
            return self._bursts.begin(1, now, crowd=waiting)
        return self._bursts.plan(
            first.enqueued_at, workers=self.workers, in_flight=jobs, waiting=waiting, now=now
        )

    def start(self, members: Sequence[Entry]) -> None:
        """Forward one request.  It is answered, refused, or queued again."""
        (entry,) = members
        job = ForwardedJob(self, entry, self._bursts.join(), self._clock())
        self.jobs[job] = members
        self.in_flight += 1
        try:
            self._send(job)
        except Exception as exc:  # noqa: BLE001 - what it is makes no difference to the entry
            self.fail(job, exc)

    def _send(self, job: ForwardedJob) -> None:
        request = cast("ForwardedRequest", job.entry.body)
        job.asked = self._client.forwarding.send(request, self._seconds, job)

    def finish(self, job: ForwardedJob, response: EngineResponse) -> None:
        """Answer the entry of *job* with *response*, or try it again."""
        self._observe(job, response)
        entry, refusal = job.entry, response.refusal() if response.status >= 400 else None
        match _verdict(refusal):
            case _Verdict.BATCH_FAILED if self._limits.items > 1 and not entry.alone:
                self._try_again([entry], InternalError(), alone=True)
            case _Verdict.ANSWER | _Verdict.BATCH_FAILED:
                if not self._breaker.at_rest:
                    self._breaker.record_success()
                entry.answer(self._forwarded(response))
            case _Verdict.BUSY:
                self._on_trouble()  # there may be no worker any more
                asyncio.get_running_loop().call_later(BUSY_SECONDS, self._send_again, job)
                return
            case _Verdict.MODEL_GONE:
                self._again_after(entry, refusal, self._not_ready())
            case _Verdict.WORKER_DIED:
                self._again_after(entry, refusal, WorkerDied("tried twice", field="inputs"))
        self.end(job)

    def _observe(self, job: ForwardedJob, response: EngineResponse) -> None:
        entry = job.entry
        # Clients make up versions, which are no labels before TorchServe has answered for them.
        version = entry.version if response.status != HTTPStatus.NOT_FOUND else None
        observed = self._metrics.jobs[version or self.version]
        observed.size.observe(1)
        observed.engine.observe(self._clock() - job.started)
        observed.queue_wait.observe(job.started - entry.enqueued_at)

    def _send_again(self, job: ForwardedJob) -> None:
        """Queue the entry of *job* again, unless that has been cancelled meanwhile."""
        if job in self.jobs:
            if not self._queue_again(job.entry):
                job.entry.refuse(self._not_ready())
            self.end(job)

    def fail(self, job: ForwardedJob, exc: Exception) -> None:
        """Refuse the entry of *job*, or queue it again, by what *exc* says."""
        entry = job.entry
        match exc:
            case EngineOutOfReach():
                log.warning(
                    "a request to %s was not sent: %s", self._model, exc, extra=asked_by([entry])
                )
                full = Exhausted("the server has no connection left for TorchServe")
                self._metrics.count_failed_job("not_sent")
                self._try_again([entry], full, alone=False)
            case EngineGone():
                self._record_failure("gone")
                gone = EngineUnavailable("TorchServe went away", field="inputs", retry_after=2)
                self._try_again([entry], gone, alone=exc.reached)
            case _:
                log.error(
                    "a request to %s failed in the sidecar",
                    self._model,
                    exc_info=exc,
                    extra=asked_by([entry]),
                )
                self._metrics.count_failed_job("sidecar")
                self._metrics.count_failed_input(error := InternalError())
                entry.refuse(error)
        self.end(job)

    def end(self, job: ForwardedJob) -> None:
        """Take *job* out of those in flight; an entry that nobody has answered is refused."""
        if job not in self.jobs:  # cancelled before
            return
        self.in_flight -= 1
        self._bursts.leave(job.burst, self._clock())
        if not (job.entry.abandoned or job.entry.queued):
            job.entry.refuse(Unavailable("the server is stopping"))
        del self.jobs[job]
        self._on_end()

    def _again_after(
        self, entry: Entry, refusal: EngineRefused | None, error: SidecarError
    ) -> None:
        self._record_failure("refused")
        log.warning("a request to %s: %s", self._model, refusal, extra=asked_by([entry]))
        self._try_again([entry], error, alone=True)

    def _not_ready(self) -> ModelNotReady:
        return ModelNotReady(f"no worker of {self._model} took the request", field="model_name")

    async def pass_on(self, job: ForwardedJob, response: EngineResponse) -> None:
        """Pass on a streamed body as it comes, to its end even if nobody listens.

        The worker finishes it in any case, and its place must not be given to others before.
        """
        self._observe(job, response)
        self._breaker.record_success()
        entry, stream = job.entry, PieceStream(self._seconds)
        if entry.abandoned:
            stream.leave()
        entry.answer(self._forwarded(response, stream))
        assert response.pieces is not None
        try:
            async for piece in response.pieces:
                await stream.put(piece)
        except EngineGone:
            self._record_failure("gone")
            stream.cut(EngineUnavailable("TorchServe went away", field="inputs", retry_after=2))
        else:
            stream.end()
        finally:
            self.end(job)


def _verdict(refusal: EngineRefused | None) -> _Verdict:
    match refusal:
        case None:
            return _Verdict.ANSWER
        case EngineRefused(status=500, kind="InternalServerException", message=text) if (
            text == WORKER_DIED
        ):
            return _Verdict.WORKER_DIED
        case EngineRefused(kind="InternalServerException"):
            return _Verdict.BATCH_FAILED
        case EngineRefused(status=503, kind="ServiceUnavailableException"):
            return _Verdict.BUSY
        case EngineRefused(status=404, kind="ModelNotFoundException"):
            return _Verdict.MODEL_GONE
        case _:
            return _Verdict.ANSWER
