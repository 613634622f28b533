"""How large a job may be that has urgent inputs (pure).

Who is urgent waits for all inputs of the job, so a job of few is answered sooner: where its time
grows with its size, and where it takes long enough to matter.  A model that takes as long for a
quarter of its largest job as for a whole one would only lose by it.
"""

URGENT_STEPS = 5  # of priority above another input, half of all there are
SHARE = 0.25  # of the largest job
PAYS_BELOW = 0.5  # of the time of a large job
SMOOTHING = 0.1


class UrgentJobs:
    """What is known of the jobs of one model, which hold at most *most* inputs."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._few = max(1, int(most * SHARE))
        self._seconds_of_few: float | None = None  # a moving mean
        self._seconds_of_many: float | None = None
        self.most_entries = self._few  # of a job with an urgent input, beside others as urgent

    def learn(self, size: int, seconds: float) -> None:
        """Note that a job of *size* inputs took *seconds*."""
        if size <= self._few:
            self._seconds_of_few = _smoothed(self._seconds_of_few, seconds)
        elif size > self._most / 2:
            self._seconds_of_many = _smoothed(self._seconds_of_many, seconds)
        few, many = self._seconds_of_few, self._seconds_of_many
        pays = few is None or many is None or few < PAYS_BELOW * many
        self.most_entries = self._few if pays else self._most


def _smoothed(mean: float | None, seconds: float) -> float:
    return seconds if mean is None else mean + SMOOTHING * (seconds - mean)
