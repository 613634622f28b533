"""When requests are sent, so that TorchServe makes full batches of them (pure).

TorchServe takes what has come when a worker is free, and waits a moment for more.  Requests that
trickle in would be taken by halves, and each half costs a whole run.  So they are sent in bursts,
each of which becomes a batch: a full one ahead of every run, or, while a worker is free, what is
there once those who are likely to ask have asked.
"""

import math
from typing import NamedTuple

SMOOTHING = 0.2
GATHERING_SHARE = 0.5  # of the time that a batch takes, at most
GATHERING_SECONDS = 0.05  # at most
LEAST_PAUSE_SECONDS = 0.0005
AHEAD_SECONDS = 0.01  # of work that waits at TorchServe, beside the batches that run: one at least
MOST_AHEAD = 4  # batches


class Plan(NamedTuple):
    """How many jobs to send now.  If none, look again after *pause* seconds.

    None: look again when something has changed.
    """

    jobs: int
    pause: float | None = None


WAIT = Plan(0)


class Burst:
    """Requests that were sent together; *left* of them are not answered."""

    __slots__ = ("left", "sent_at")

    def __init__(self, sent_at: float) -> None:
        self.left = 0
        self.sent_at = sent_at


class Bursts:
    """The bursts of one model; *size* is that of TorchServe's batches."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._in_flight: set[Burst] = set()
        self._current = Burst(0.0)  # which is being sent
        self._crowd = 0  # the most that were waiting and in flight since the last burst
        self._finished_at = -math.inf
        self._batch_seconds: float | None = None  # that a batch takes, a moving mean

    def plan(
        self, first_at: float, *, workers: int, in_flight: int, waiting: int, now: float
    ) -> Plan:
        """Return how many of those *waiting*, the first since *first_at*, to send now."""
        self._crowd = max(self._crowd, in_flight + waiting)
        full = waiting >= self._size
        if len(self._in_flight) >= workers + (self.ahead if full else 0):
            return WAIT
        if waiting < min(self._size, self._crowd - in_flight):  # others are likely to ask again
            left = max(first_at, self._finished_at) + self._gathering_seconds - now
            if left > LEAST_PAUSE_SECONDS:
                return Plan(0, left)
        return self.begin(min(waiting, self._size), now, crowd=in_flight + waiting)

    def begin(self, jobs: int, now: float, crowd: int) -> Plan:
        """Begin a burst of *jobs*; *crowd* requests are waiting or in flight."""
        self._current = Burst(now)
        self._crowd = crowd
        return Plan(jobs)

    def join(self) -> Burst:
        """Return the burst that is being sent, with one request more."""
        self._current.left += 1
        self._in_flight.add(self._current)
        return self._current

    def leave(self, burst: Burst, now: float) -> None:
        """Note that one request of *burst* is answered."""
        burst.left -= 1
        if burst.left:
            return
        self._in_flight.discard(burst)
        taken = now - max(burst.sent_at, self._finished_at)
        before = taken if self._batch_seconds is None else self._batch_seconds
        self._batch_seconds = before + SMOOTHING * (taken - before)
        self._finished_at = now

    @property
    def ahead(self) -> int:
        """How many full batches may wait at TorchServe: more where they are done in no time."""
        if self._batch_seconds is None:
            return 1
        return min(math.ceil(AHEAD_SECONDS / max(self._batch_seconds, 1e-6)), MOST_AHEAD)

    @property
    def _gathering_seconds(self) -> float:
        return min(GATHERING_SHARE * (self._batch_seconds or 0.0), GATHERING_SECONDS)
