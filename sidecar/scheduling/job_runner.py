"""One job: a batch of entries goes to TorchServe, and each gets its own answer."""

import logging
from collections.abc import Sequence
from typing import cast

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
from sidecar.scheduling.job import (
    AnswerHeader,
    ItemHeader,
    JobAnswerHeader,
    MalformedAnswer,
    Timings,
    decode_answer,
    encode_job,
)
from sidecar.scheduling.runner import Runner, asked_by
from sidecar.torchserve.client import (
    EngineGone,
    EngineOutOfReach,
    EngineRefused,
)

log = logging.getLogger(__name__)

SHORT_JOB_SECONDS = 0.010
SMOOTHING = 0.1
JOB_GRACE_SECONDS = 10.0  # TorchServe ends a job at its limit; we hang up only after that
MAX_CAUSE = 500  # characters of what a handler tells of a failure


class JobRunner(Runner):
    """Runs the jobs of one model; several may run at a time."""

    _mean_seconds = SHORT_JOB_SECONDS  # in the handler, a moving mean

    def slots(self, workers: int) -> int:
        """Return how many jobs may be in flight: two for a worker where they are short."""
        return workers * (2 if self.jobs_are_short else 1)

    @property
    def jobs_are_short(self) -> bool:
        """Whether a worker would idle between jobs if it got them one at a time."""
        return self._mean_seconds < SHORT_JOB_SECONDS

    async def run(self, members: Sequence[Entry]) -> None:
        """Run one job.  Every entry of *members* is answered, refused, or queued again."""
        self.in_flight += len(members)
        started = self._clock()
        batch: Sequence[Entry] = ()
        try:
            batch, job = self._pack(members)
            if not batch:
                return
            header, bodies = await self._ask(job, batch)
            if not self._breaker.at_rest:
                self._breaker.record_success()
            self._record_job(batch, started, header.timings)
            if header.memory is not None:
                self.memory[header.worker] = header.memory
            self._answer(batch, header, bodies)
        except EngineOutOfReach as exc:
            log.warning("a job of %s was not sent: %s", self._model, exc, extra=asked_by(batch))
            full = Exhausted("the server has no connection left for TorchServe")
            self._metrics.count_failed_job("not_sent")
            self._try_again(batch, full, alone=False)
        except EngineGone as exc:
            self._record_failure("gone")
            gone = EngineUnavailable("TorchServe went away", field="inputs", retry_after=2)
            self._try_again(batch, gone, alone=exc.reached)
        except EngineRefused as exc:
            self._record_failure("refused")
            self._after_refusal(batch, exc)
        except MalformedAnswer as exc:
            log.error(  # noqa: TRY400 - a sentence says it all
                "%s: %s", self._model, exc, extra=asked_by(batch)
            )
            self._fail(batch, "malformed")
        except Exception:
            log.exception("a job of %s failed in the sidecar", self._model, extra=asked_by(members))
            self._fail(members, "sidecar")
        finally:
            self.in_flight -= len(members)
            if not all(entry.abandoned or entry.queued for entry in members):
                self._give_up(members, Unavailable("the server is stopping"), unless_queued=True)

    def _fail(self, batch: Sequence[Entry], reason: str) -> None:
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
            return members, _job_of(members)
        except Exception:  # noqa: BLE001 - whose fault it is turns out below, and is logged there
            sound = [entry for entry in members if self._can_be_sent(entry)]
            return sound, _job_of(sound)

    def _can_be_sent(self, entry: Entry) -> bool:
        try:
            _job_of([entry])
        except Exception as exc:  # noqa: BLE001 - nothing that one entry holds may reach the others
            # No traceback: the exception quotes what was sent.
            log.error(  # noqa: TRY400
                "%s: an input cannot be put into a job: %s",
                self._model,
                type(exc).__name__,
                extra=asked_by([entry]),
            )
            self._fail([entry], "sidecar")
            return False
        return True

    async def _ask(self, job: bytes, batch: Sequence[Entry]) -> tuple[JobAnswerHeader, list[bytes]]:
        version = batch[0].version  # an entry for a certain version is alone in its job
        model = self._model if version is None else f"{self._model}/{version}"
        answer = await self._client.predict(model, job, self._limits.seconds + JOB_GRACE_SECONDS)
        return decode_answer(answer, len(batch))

    def _record_job(self, batch: Sequence[Entry], started: float, timings: Timings) -> None:
        # The handler's own time: ours holds the wait behind the job before, too.
        in_handler = (timings.decode_ms + timings.forward_ms + timings.encode_ms) / 1000
        self._mean_seconds += SMOOTHING * (in_handler - self._mean_seconds)
        observed = self._metrics.jobs_of(batch[0].version or self.version)
        observed.observe_job(len(batch), self._clock() - started)
        for entry in batch:
            observed.queue_wait.observe(started - entry.enqueued_at)

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
