"""When requests are sent, so that TorchServe makes full batches of them (pure).

TorchServe takes what has come when a worker is free, and waits a moment for more.  Requests that
trickle in would be taken by halves, and each half costs a whole run.  So they are sent in bursts,
each of which becomes a batch: a full one just before a worker is expected to be free, or, while a
worker is free, what is there once those who are likely to ask have asked.  Where the last of these
usually follow within the moment that TorchServe waits, the first half of them is sent at once.

What has been sent cannot be called back: an urgent request waits for it, and it runs even if its
clients leave.  So no burst is sent earlier than it has to be.
"""

import math

from sidecar.scheduling.plan import WAIT, Plan

# How far an estimate moves with what was measured: that of a batch's time is a low one, which a
# batch that was held up for once hardly changes; that of the late half's time is a high one.
TOWARDS, AWAY = 0.3, 0.05
GATHERING_SHARE = 0.5  # of the time that a batch takes, at most
GATHERING_SECONDS = 0.05  # at most
LEAST_PAUSE_SECONDS = 0.0005
AHEAD_SECONDS = 0.01  # of work that may wait at TorchServe, beside the batches that run
MOST_AHEAD = 4  # batches
# How long before a worker is free its next batch is sent: the time of the way there, and at least a
# share of the batch, which bounds what is lost if the way takes longer.
WAY_SECONDS = 0.003
EARLY_SHARE = 0.2
# TorchServe ends a batch when its clock, which has whole milliseconds, has gone on by the delay.
CLOCK_SECONDS = 0.001
LATE_SHARE = 0.7  # of the time that a burst stays open, in which its late half usually has to come


class Burst:
    """Requests that were sent together; *left* of them are not answered.

    *began_at* is when a worker was free for them, as far as is known.  *lacking* more may join them
    until *open_until*.
    """

    __slots__ = ("began_at", "lacking", "left", "open_until")

    def __init__(self, began_at: float, lacking: int = 0, open_until: float = -math.inf) -> None:
        self.began_at = began_at
        self.left = 0
        self.lacking = lacking
        self.open_until = open_until


class Bursts:
    """The bursts of one model; *size* is that of TorchServe's batches.

    *delay* is how long TorchServe waits for a batch to fill, in seconds.
    """

    def __init__(self, size: int, delay: float = 0.0) -> None:
        self._size = size
        self._open_seconds = max(0.0, delay - CLOCK_SECONDS)  # within which others surely join
        self._workers = 0
        self._current = Burst(0.0)  # which is being sent
        self._running: list[Burst] = []  # one for each worker, at most
        self._ahead: list[Burst] = []  # which wait at TorchServe, the first one first
        self._crowd = 0  # the most that were waiting and in flight since the last burst
        self._finished_at = -math.inf
        self._batch_seconds: float | None = None  # that a batch takes, if nothing holds it up
        self._half_at: float | None = None  # when half of those who are likely to ask had asked
        self._late_seconds = GATHERING_SECONDS  # that the other half needs after that

    def plan(
        self,
        first_at: float,
        *,
        workers: int,
        in_flight: int,
        waiting: int,
        now: float,
        ahead: bool = True,
    ) -> Plan:
        """Return how many of those *waiting*, the first since *first_at*, to send now.

        *ahead*: a batch may be sent before a worker is free for it.
        """
        self._workers = workers
        self._crowd = max(self._crowd, in_flight + waiting)
        if now < self._current.open_until and self._current.lacking:
            return self._go_on(waiting, now)
        if len(self._running) >= workers:
            return self._plan_ahead(in_flight, waiting, now) if ahead else WAIT
        return self._plan_for_free_worker(first_at, in_flight, waiting, now)

    def _go_on(self, waiting: int, now: float) -> Plan:
        """Send what has come for the burst that is open."""
        burst = self._current
        jobs = min(waiting, burst.lacking)
        burst.lacking -= jobs
        if not burst.lacking:
            self._learn_late(now - burst.began_at)
        return Plan(jobs)

    def _plan_for_free_worker(
        self, first_at: float, in_flight: int, waiting: int, now: float
    ) -> Plan:
        """Send a full batch, or what is there once those who are likely to ask have asked."""
        crowd = in_flight + waiting
        lacking = min(self._size, self._crowd - in_flight) - waiting
        if lacking > 0:
            if self._half_at is None and waiting >= lacking:
                self._half_at = now
            if self._half_at is not None and self._late_half_is_quick:
                return self._begin(Burst(now, lacking, now + self._open_seconds), waiting, crowd)
            left = max(first_at, self._finished_at) + self._gathering_seconds - now
            if left > LEAST_PAUSE_SECONDS:
                return Plan(0, left)
        if self._half_at is not None:
            self._learn_late(now - self._half_at)
        return self.begin(min(waiting, self._size), now, crowd)

    def _plan_ahead(self, in_flight: int, waiting: int, now: float) -> Plan:
        """Send a full batch if a worker is about to be free for it."""
        if waiting < self._size or (due_at := self._next_due_at()) is None:
            return WAIT
        left = due_at - now
        if left > LEAST_PAUSE_SECONDS:
            return Plan(0, left)
        return self.begin(self._size, now, crowd=in_flight + waiting)

    def begin(self, jobs: int, now: float, crowd: int) -> Plan:
        """Begin a burst of *jobs*; *crowd* requests are waiting or in flight."""
        return self._begin(Burst(now), jobs, crowd)

    def _begin(self, burst: Burst, jobs: int, crowd: int) -> Plan:
        if self._current.lacking:  # they did not come while it was open
            self._learn_late(2 * self._open_seconds)
        self._current, self._half_at = burst, None
        self._crowd = crowd
        return Plan(jobs)

    def join(self) -> Burst:
        """Return the burst that is being sent, with one request more."""
        burst = self._current
        if not burst.left:
            free = len(self._running) < self._workers
            (self._running if free else self._ahead).append(burst)
        burst.left += 1
        return burst

    def leave(self, burst: Burst, now: float) -> None:
        """Note that one request of *burst* is answered."""
        burst.left -= 1
        if burst.left:
            return
        if burst in self._ahead:
            self._ahead.remove(burst)
            return
        self._running.remove(burst)
        self._learn(now - burst.began_at)
        self._finished_at = now
        if self._ahead:
            following = self._ahead.pop(0)
            following.began_at = now
            self._running.append(following)

    def _learn(self, taken: float) -> None:
        """Adjust what a batch takes to one that has *taken* so many seconds."""
        usual = self._batch_seconds
        if usual is None:
            self._batch_seconds = taken
        elif taken < usual:
            self._batch_seconds = usual - TOWARDS * (usual - taken)
        else:
            self._batch_seconds = usual + AWAY * min(taken - usual, usual)

    def _learn_late(self, taken: float) -> None:
        """Adjust what the late half of those who ask takes to one that has *taken* as long."""
        share = TOWARDS if taken > self._late_seconds else AWAY
        self._late_seconds += share * (taken - self._late_seconds)

    @property
    def _late_half_is_quick(self) -> bool:
        return self._late_seconds < LATE_SHARE * self._open_seconds

    def _next_due_at(self) -> float | None:
        """Return when to send a batch that follows those at TorchServe; None: not before one ends.

        Each follows one that runs; where these take no time, more of them may wait.
        """
        if self._batch_seconds is None:
            return None if self._ahead else -math.inf
        place = len(self._ahead)
        if place < min(math.ceil(AHEAD_SECONDS / max(self._batch_seconds, 1e-6)), MOST_AHEAD):
            place = 0
        elif place >= len(self._running):
            return None
        early = max(WAY_SECONDS, EARLY_SHARE * self._batch_seconds)
        began_at = sorted(burst.began_at for burst in self._running)[place]
        return began_at + self._batch_seconds - early

    @property
    def _gathering_seconds(self) -> float:
        return min(GATHERING_SHARE * (self._batch_seconds or 0.0), GATHERING_SECONDS)
