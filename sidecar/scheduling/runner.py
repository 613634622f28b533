"""What all runners have in common: the jobs in flight, and what becomes of entries not answered.

A job that fails as a whole does not tell which entry made it fail.  So each entry is tried once
more, alone if a worker may have begun with it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from sidecar.errors import SidecarError
from sidecar.scheduling.circuit_breaker import CircuitBreaker
from sidecar.scheduling.entry import Entry, Forwarded, Pieces
from sidecar.scheduling.entry_queue import EntryQueue
from sidecar.scheduling.job_format import WorkerMemory
from sidecar.scheduling.plan import Plan
from sidecar.telemetry.prometheus import ModelMetrics
from sidecar.torchserve.client import TorchServeClient

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 2


class JobLimits(NamedTuple):
    """The largest job of a model, and how long it may take.

    *continuous*: TorchServe takes requests into a job that runs, too.  *delay* is how long it waits
    for a batch to fill, in seconds.
    """

    items: int
    bytes: int
    seconds: float
    continuous: bool = False
    delay: float = 0.0


class Running(Protocol):
    """A job in flight."""

    def cancel(self) -> object:
        """End it; entries that nobody has answered are refused, now or in the next turn."""


class HandlerAnswer(Protocol):
    """What a custom handler answers to one request, however it came here."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def reason(self) -> str:
        """The phrase beside it."""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """All headers, as TorchServe would have them."""

    @property
    def body(self) -> bytes:
        """The body, if it has come whole."""


class RunnerCallbacks(NamedTuple):
    """What a runner calls: to queue an entry again, when a job has failed, and when one has ended.

    *queue_again* returns whether it did so.
    """

    queue_again: Callable[[Entry], bool]
    on_trouble: Callable[[], None]
    on_end: Callable[[], None]


class Runner:
    """Sends entries of one model to TorchServe; several jobs may run at a time."""

    def __init__(
        self,
        model: str,
        client: TorchServeClient,
        metrics: ModelMetrics,
        limits: JobLimits,
        breaker: CircuitBreaker,
        callbacks: RunnerCallbacks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._client = client
        self._metrics = metrics
        self._limits = limits
        self._breaker = breaker
        self._queue_again, self._on_trouble, self._on_end = callbacks
        self._clock = clock
        self._serial = 0
        self.memory: dict[int, WorkerMemory] = {}  # by process id, what each told last
        self.jobs: dict[Running, Sequence[Entry]] = {}  # in flight
        self.in_flight = 0  # entries inside jobs
        self.version = ""  # which answers entries that ask for none
        self.workers = 0  # READY
        self.slots = 0  # how many jobs may be in flight
        self.most_entries = limits.items  # that one job may hold
        self.most_with_urgent: int | None = None  # if one is urgent; None: no fewer

    def employ(self, workers: int) -> None:
        """Note that *workers* are READY, which `slots` follows from."""
        self.workers = workers
        self.slots = self._count_slots()

    def _count_slots(self) -> int:
        """Return how many jobs may be in flight."""
        raise NotImplementedError

    def plan(self, queue: EntryQueue) -> Plan:
        """Return how many jobs of what waits in *queue*, which is not empty, to send now."""
        raise NotImplementedError

    def start(self, members: Sequence[Entry]) -> None:
        """Start one job.  Every entry of *members* is answered, refused, or queued again."""
        raise NotImplementedError

    def _record_failure(self, reason: str) -> None:
        self._metrics.count_failed_job(reason)
        self._on_trouble()
        if self._breaker.record_failure(self._clock()):
            log.error("%s: jobs keep failing; none are sent for a while", self._model)

    def _try_again(self, batch: Sequence[Entry], error: SidecarError, *, alone: bool) -> None:
        """Try each entry once more; that is safe, since models keep nothing of a request.

        *alone*: the entry that made the job fail must not harm the others.
        """
        for entry in batch:
            entry.attempts += 1
            entry.alone = entry.alone or alone
            if entry.abandoned:
                continue
            if entry.attempts >= MAX_ATTEMPTS or not self._queue_again(entry):
                self._metrics.count_failed_input(error)
                entry.refuse(error)

    def _forwarded(self, answer: HandlerAnswer, pieces: Pieces | None = None) -> Forwarded:
        """Return the reply that *answer* makes; *pieces*: its body has not come whole."""
        self._serial += 1
        return Forwarded(
            b"" if pieces is not None else answer.body,
            device="",
            forward_pass=0,
            job=self._serial,
            worker=0,
            status=answer.status,
            reason=answer.reason,
            headers=answer.headers,
            pieces=pieces,
        )

    @staticmethod
    def _give_up(
        batch: Sequence[Entry], error: SidecarError, *, unless_queued: bool = False
    ) -> None:
        for entry in batch:
            if not (unless_queued and entry.queued):
                entry.refuse(error)


def asked_by(batch: Sequence[Entry]) -> dict[str, str]:
    """Return, for log lines, the requests that share the job, instead of the one it began in."""
    ids = dict.fromkeys(entry.request_id for entry in batch if entry.request_id)
    return {"request_id": ",".join(ids)}
