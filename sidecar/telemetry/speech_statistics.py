"""Speech synthesis counted and timed since start."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple


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
    """What /info and /tts/health say about synthesis."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.started = clock()
        self.requests = 0
        self.failures = 0
        self._audio_seconds = 0.0
        self._speaking_seconds = 0.0
        self._taken: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def record_synthesis(self, synthesis: Synthesis) -> None:
        """Count an answered request."""
        self.requests += 1
        if synthesis.speaking is not None:
            self._audio_seconds += synthesis.audio
            self._speaking_seconds += synthesis.speaking
        sums = self._taken[synthesis.model]
        sums[0] += synthesis.taken
        sums[1] += 1

    def record_failure(self) -> None:
        """Count a failed request."""
        self.requests += 1
        self.failures += 1

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
