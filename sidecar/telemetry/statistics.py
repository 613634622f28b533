"""Requests counted and timed: since start, and over the last minute.

Latencies of the last minute are kept per second as counts in buckets that are 1 % wide
each, so a percentile is within 1 % of the true one, whatever the load.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Callable

import msgspec

WINDOW_SECONDS = 60
BUCKET_WIDTH = math.log(1.01)


class _Second:
    __slots__ = ("buckets", "inputs", "second")

    def __init__(self, second: int) -> None:
        self.second = second
        self.buckets: Counter[int] = Counter()
        self.inputs = 0


class Recent(msgspec.Struct, frozen=True):
    """The last minute.  Latencies in seconds, throughput in inputs per second; null if empty."""

    throughput: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class Statistics:
    """What /stats and /health tell of inference requests.  Times in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._seconds: deque[_Second] = deque()
        self.finished = 0
        self.succeeded = 0
        self.total_seconds = 0.0  # of the successes
        self.active = 0

    def begin(self) -> float:
        """Count the arrival of a request; return the time to pass to `end`."""
        self.active += 1
        return self._clock()

    def end(self, began: float, *, inputs: int, success: bool) -> float:
        """Count the end of a request; return the seconds that it took."""
        now = self._clock()
        taken = now - began
        self.active -= 1
        self.finished += 1
        if success:
            self.succeeded += 1
            self.total_seconds += taken
            self._count(int(now), taken, inputs)
        return taken

    @property
    def average(self) -> float | None:
        """Mean seconds of the successes since start."""
        return self.total_seconds / self.succeeded if self.succeeded else None

    def recent(self) -> Recent:
        """Return throughput and percentiles of the last minute's successes."""
        now = self._clock()
        self._forget(int(now))
        buckets: Counter[int] = Counter()
        for second in self._seconds:
            buckets.update(second.buckets)
        if not buckets:
            return Recent(None, None, None, None)
        inputs = sum(second.inputs for second in self._seconds)
        span = min(max(now - self._started, 1.0), WINDOW_SECONDS)
        p50, p95, p99 = (_percentile(buckets, share) for share in (0.50, 0.95, 0.99))
        return Recent(inputs / span, p50, p95, p99)

    def _count(self, second: int, taken: float, inputs: int) -> None:
        if not self._seconds or self._seconds[-1].second != second:
            self._forget(second)
            self._seconds.append(_Second(second))
        latest = self._seconds[-1]
        latest.buckets[round(math.log(max(taken, 1e-6)) / BUCKET_WIDTH)] += 1
        latest.inputs += inputs

    def _forget(self, now: int) -> None:
        while self._seconds and self._seconds[0].second <= now - WINDOW_SECONDS:
            self._seconds.popleft()


def _percentile(buckets: Counter[int], share: float) -> float:
    rank = math.ceil(share * buckets.total())
    for bucket in sorted(buckets):
        rank -= buckets[bucket]
        if rank <= 0:
            break
    return math.exp(bucket * BUCKET_WIDTH)
