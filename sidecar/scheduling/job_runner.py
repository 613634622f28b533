"""One job: a batch of entries goes to TorchServe, and each gets its own answer."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, cast

from sidecar.errors import (
    EngineUnavailable,
    Exhausted,
    InputRefused,
    InternalError,
    ModelNotReady,
    OutOfMemory,
    SidecarError,
    Unavailable,
    WorkerDied,
)
from sidecar.scheduling.entry import Body, Entry, Reply
from sidecar.scheduling.entry_queue import EntryQueue
from sidecar.scheduling.gathering import AT_ONCE, Gathering
from sidecar.scheduling.job_format import (
    AnswerHeader,
    ItemHeader,
    JobAnswerHeader,
    MalformedAnswer,
    decode_answer,
    encode_job,
)
from sidecar.scheduling.plan import Plan
from sidecar.scheduling.runner import Runner, Running, asked_by
from sidecar.scheduling.urgency import UrgentJobs
from sidecar.torchserve.failures import EngineGone, EngineOutOfReach, EngineRefused

log = logging.getLogger(__name__)

SHORT_JOB_SECONDS = 0.010
SMOOTHING = 0.1
JOB_GRACE_SECONDS = 10.0  # TorchServe ends a job at its limit; we hang up only after that
MAX_CAUSE = 500  # characters of what a handler tells of a failure


class Job:
    """A batch of entries on its way: what TorchServe makes of it is told here, at once."""

    __slots__ = ("_runner", "batch", "call", "members", "started")

    call: Running  # of TorchServe

    def __init__(self, runner: "JobRunner", members: Sequence[Entry], started: float) -> None:
        self._runner = runner
        self.members = members
        self.batch: Sequence[Entry] = ()  # those of *members* that can be sent
        self.started = started

    def answered(self, body: bytes) -> None:
        """Give each entry its answer."""
        self._runner.finish(self, body)

    def failed(self, exc: Exception) -> None:
        """Refuse the entries, or queue them again, by what has gone wrong."""
        self._runner.fail(self, exc)

    def cancel(self) -> None:
        """End it; the entries are refused."""
        self.call.cancel()
        self._runner.end(self)


class JobRunner(Runner):
    """Runs the jobs of one model; several may run at a time.

    A job is made of callbacks, without a task: it is sent in one turn of the event loop, and its
    entries are answered in the turn in which TorchServe's answer comes.
    """

    _mean_seconds = SHORT_JOB_SECONDS  # in the handler, a moving mean

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gathering = Gathering(self._limits.items)
        self._urgent = UrgentJobs(self._limits.items)

    def _count_slots(self) -> int:
        """Return how many jobs may be in flight: one for a worker, two where they are short.

        A worker that got short jobs one at a time would idle between them.
        """
        return self.workers * (2 if self._mean_seconds < SHORT_JOB_SECONDS else 1)

    def plan(self, queue: EntryQueue) -> Plan:
        """Return whether to send a job now, for which a slot is free; urgent inputs never wait."""
        first = queue.first
        assert first is not None
        jobs_are_long = self.slots == self.workers
        self.most_with_urgent = self._urgent.most_entries if jobs_are_long else None
        if jobs_are_long or first.alone or first.priority > 0:
            self.most_entries = self._limits.items
            return AT_ONCE
        return self._plan_short(queue)

    def _plan_short(self, queue: EntryQueue) -> Plan:
        """Return whether to send a short job now: it waits for its share of the crowd."""
        gathering, waiting = self._gathering, queue.waiting
        self.most_entries = share = gathering.share(self.in_flight + waiting, self.slots)
        return gathering.plan(
            waiting, share, jobs=len(self.jobs), workers=self.workers, now=self._clock()
        )

    def start(self, members: Sequence[Entry]) -> None:
        """Start one job.  Every entry of *members* is answered, refused, or queued again."""
        job = Job(self, members, self._clock())
        self.jobs[job] = members
        self.in_flight += len(members)
        try:
            self._send(job)
        except Exception as exc:  # noqa: BLE001 - what it is makes no difference to the entries
            self.fail(job, exc)

    def _send(self, job: Job) -> None:
        job.batch, data = self._pack(job.members)
        if job.batch:
            job.call = self._ask(job, data)
        else:
            self.end(job)

    def finish(self, job: Job, body: bytes) -> None:
        """Answer the entries of *job* with what is in *body*."""
        try:
            header, bodies = decode_answer(body, len(job.batch))
            self._finish(job, header, bodies)
        except Exception as exc:  # noqa: BLE001 - as above
            self.fail(job, exc)
        else:
            self.end(job)

    def _finish(self, job: Job, header: JobAnswerHeader, answers: Any) -> None:
        """Give the entries of *job* their *answers*, and record what *header* tells."""
        if not self._breaker.at_rest:
            self._breaker.record_success()
        # In the next turn, when the answers have left; before those that they wake go on.
        asyncio.get_running_loop().call_soon(self._record_job, job, self._clock(), header)
        self._answer(job, header, answers)

    def fail(self, job: Job, exc: Exception) -> None:
        """Refuse the entries of *job*, or queue them again, by what *exc* says."""
        batch = job.batch
        try:
            match exc:
                case EngineOutOfReach():
                    log.warning(
                        "a job of %s was not sent: %s", self._model, exc, extra=asked_by(batch)
                    )
                    full = Exhausted("the server has no connection left for TorchServe")
                    self._metrics.count_failed_job("not_sent")
                    self._try_again(batch, full, alone=False)
                case EngineGone():
                    self._record_failure("gone")
                    gone = EngineUnavailable("TorchServe went away", field="inputs", retry_after=2)
                    self._try_again(batch, gone, alone=exc.reached)
                case EngineRefused():
                    self._record_failure("refused")
                    self._after_refusal(batch, exc)
                case MalformedAnswer():
                    log.error("%s: %s", self._model, exc, extra=asked_by(batch))
                    self._refuse_all(batch, "malformed")
                case _:
                    log.error(
                        "a job of %s failed in the sidecar",
                        self._model,
                        exc_info=exc,
                        extra=asked_by(job.members),
                    )
                    self._refuse_all(job.members, "sidecar")
        finally:
            self.end(job)

    def end(self, job: Job) -> None:
        """Take *job* out of those in flight; entries that nobody has answered are refused."""
        members = job.members
        self.in_flight -= len(members)
        if not all(entry.abandoned or entry.queued for entry in members):
            self._give_up(members, Unavailable("the server is stopping"), unless_queued=True)
        del self.jobs[job]
        self._gathering.end(len(members), self.in_flight, self._clock())
        self._on_end()

    def _refuse_all(self, batch: Sequence[Entry], reason: str) -> None:
        """Answer all of *batch* with an error of the server's own: another try would not help."""
        self._metrics.count_failed_job(reason)
        error = InternalError()
        for entry in batch:
            if not entry.abandoned:
                self._metrics.count_failed_input(error)
        self._give_up(batch, error)

    def _pack(self, members: Sequence[Entry]) -> tuple[Sequence[Entry], bytes]:
        """Return those of *members* that can be sent, and the job that they make.

        An entry that cannot be put into a job is refused, and does not affect the others.
        """
        try:
            return members, self._encode(members)
        except Exception:  # noqa: BLE001 - whose fault it is turns out below, and is logged there
            sound = [entry for entry in members if self._can_be_sent(entry)]
            return sound, self._encode(sound)

    def _encode(self, batch: Sequence[Entry]) -> bytes:
        """Return the job that *batch* makes."""
        return _job_of(batch)

    def _can_be_sent(self, entry: Entry) -> bool:
        try:
            self._encode([entry])
        except Exception as exc:  # noqa: BLE001 - nothing that one entry holds may reach the others
            # No traceback: the exception quotes what was sent.
            log.error(  # noqa: TRY400
                "%s: an input cannot be put into a job: %s",
                self._model,
                type(exc).__name__,
                extra=asked_by([entry]),
            )
            self._refuse_all([entry], "sidecar")
            return False
        return True

    def _ask(self, job: Job, data: bytes) -> Running:
        """Send *data* to TorchServe, which *job* is told the answer of."""
        return self._client.jobs.send(
            self._name_of(job), data, self._limits.seconds + JOB_GRACE_SECONDS, job
        )

    def _name_of(self, job: Job) -> str:
        """Return what TorchServe calls the model that is to run *job*."""
        version = job.batch[0].version  # an entry for a certain version is alone in its job
        return self._model if version is None else f"{self._model}/{version}"

    def _record_job(self, job: Job, ended: float, header: JobAnswerHeader) -> None:
        # The handler's own time: ours holds the wait behind the job before, too.
        timings = header.timings
        in_handler = (timings.decode_ms + timings.forward_ms + timings.encode_ms) / 1000
        self._mean_seconds += SMOOTHING * (in_handler - self._mean_seconds)
        self.slots = self._count_slots()
        self._urgent.learn(len(job.batch), in_handler)
        if header.memory is not None:
            self.memory[header.worker] = header.memory
        observed = self._metrics.jobs[job.batch[0].version or self.version]
        observed.size.observe(len(job.batch))
        observed.engine.observe(ended - job.started)
        for entry in job.batch:
            observed.queue_wait.observe(job.started - entry.enqueued_at)

    def _answer(self, job: Job, header: JobAnswerHeader, bodies: Sequence[bytes]) -> None:
        self._serial += 1
        for entry, item, body in zip(job.batch, header.items, bodies, strict=True):
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
                        header.model_version,
                    )
                )
            else:
                self._refuse(entry, item)

    def _refuse(self, entry: Entry, item: AnswerHeader) -> None:
        error = item_error(item)
        if isinstance(error, InternalError):
            cause = (item.cause or item.error or "no cause was told")[:MAX_CAUSE]
            log.error(
                "%s: an input failed with status %d: %s",
                self._model,
                item.status,
                cause,
                extra=asked_by([entry]),
            )
        if item.status != 400:
            self._metrics.count_failed_input(error)
        entry.refuse(error)

    def _after_refusal(self, batch: Sequence[Entry], refusal: EngineRefused) -> None:
        log.warning(
            "a job of %d for %s: %s", len(batch), self._model, refusal, extra=asked_by(batch)
        )
        self._try_again(batch, _job_error(self._model, refusal), alone=True)


def _job_of(batch: Sequence[Entry]) -> bytes:
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
    return encode_job(items, cast("Sequence[Body]", [entry.body for entry in batch]))


def _job_error(model: str, refusal: EngineRefused) -> SidecarError:
    """Return the error of each input of a job that TorchServe refused, if no retry succeeds."""
    if refusal.status == 507:
        return OutOfMemory("try fewer or smaller ones", field="inputs")
    if refusal.status in (404, 503):
        return ModelNotReady(f"no worker of {model} took the job", field="model_name")
    return WorkerDied("tried twice", field="inputs")


def item_error(item: AnswerHeader) -> SidecarError:
    """Return the error of one input that the handler refused."""
    if item.status == 400:
        return InputRefused(item.rule or item.error or "", item.field)
    if item.status == 503:
        return OutOfMemory("try fewer or smaller ones", field="inputs")
    return InternalError()
