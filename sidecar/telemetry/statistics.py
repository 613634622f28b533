"""Counts and times of inference requests, since the start and over the last minute.

Requests that are refused before they are read count as well.  The latencies of each second of the
last minute are kept as counts in buckets that are 1 % wide, so that a percentile is within 1 % of
the true value at any load.
"""

import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import msgspec

from sidecar.telemetry.prometheus import Metrics

WINDOW_SECONDS = 60
BUCKET_WIDTH = math.log(1.01)


class _Second:
    __slots__ = ("buckets", "inputs", "second")

    def __init__(self, second: int) -> None:
        self.second = second
        self.buckets: Counter[int] = Counter()
        self.inputs = 0


class Recent(msgspec.Struct, frozen=True):
    """The last minute.  Latencies in seconds, throughput in inputs per second; null without any."""

    throughput: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class Statistics:
    """The figures of /stats and /health on inference requests.  Times are in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._seconds: deque[_Second] = deque()
        self.finished = 0
        self.succeeded = 0
        self.total_seconds = 0.0  # of the successes
        self.active = 0

    def begin(self) -> float:
        """Count the arrival of a request.  Return the time to pass to `end`."""
        self.active += 1
        return self._clock()

    def end(self, began: float, *, inputs: int, success: bool, ended: float | None = None) -> float:
        """Count a request that has *ended* then, or now.  Return the seconds that it took."""
        now = self._clock() if ended is None else ended
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
        """The mean time of the successes since the start, in seconds."""
        return self.total_seconds / self.succeeded if self.succeeded else None

    def recent(self) -> Recent:
        """Return the throughput and the percentiles of the last minute's successes."""
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


class Synthesis(NamedTuple):
    """An answered request.  Times in seconds.

    *taken* is from its arrival to the end, *audio* how long the audio lasts, *speaking* from
    the first sentence's queueing to the last one's audio, without our encoder; None when the
    audio was there already.
    """

    model: str
    taken: float
    audio: float
    speaking: float | None


class SpeechStatistics:
    """What /info and /tts/health tell of speech synthesis, since start."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.started = clock()
        self.requests = 0
        self.failures = 0
        self._audio_seconds = 0.0
        self._speaking_seconds = 0.0
        self._taken: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def record(self, synthesis: Synthesis | None) -> None:
        """Count a request: what it was answered, or None for one that failed."""
        self.requests += 1
        if synthesis is None:
            self.failures += 1
            return
        if synthesis.speaking is not None:
            self._audio_seconds += synthesis.audio
            self._speaking_seconds += synthesis.speaking
        sums = self._taken[synthesis.model]
        sums[0] += synthesis.taken
        sums[1] += 1

    @property
    def average(self) -> float | None:
        """Mean seconds of the successes, from arrival to the end."""
        return _mean(list(self._taken.values()))

    def average_of(self, model: str) -> float | None:
        """Return the mean seconds of one model's successes; None before the first."""
        return _mean([self._taken[model]]) if model in self._taken else None

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work for a second of audio; below 1 is faster than real time."""
        return self._speaking_seconds / self._audio_seconds if self._audio_seconds else None

    @property
    def error_rate(self) -> float | None:
        """Failed requests of all, 0-1."""
        return self.failures / self.requests if self.requests else None


def _mean(sums: list[list[float]]) -> float | None:
    count = sum(each[1] for each in sums)
    return sum(each[0] for each in sums) / count if count else None


class InferenceCall(msgspec.Struct):
    """One inference request.  Its route fills in what became of it.

    *arrived* is on the clock of the statistics and the scheduler; *synthesis* is what was spoken,
    and is there only when all of it was.
    """

    arrived: float
    inputs: int = 0
    success: bool = False
    synthesis: Synthesis | None = None


class Measurement(NamedTuple):
    """Where inference requests are counted and timed."""

    statistics: Statistics
    speech: SpeechStatistics
    metrics: Metrics

    @contextmanager
    def measuring(
        self, route: str, kind: Literal["inference", "synthesis"] | None
    ) -> Iterator[InferenceCall]:
        """Measure what the block does for one request to *route*; None: not at all."""
        if kind is None:
            yield InferenceCall(time.monotonic())
            return
        call = InferenceCall(self.statistics.begin())
        try:
            yield call
        finally:
            taken = self.statistics.end(call.arrived, inputs=call.inputs, success=call.success)
            if kind == "synthesis":
                self.speech.record(call.synthesis)
            if call.success:
                self.metrics.latency.of(route).observe(taken)
