"""When short jobs are sent, so that they are few and full (pure).

A short job costs TorchServe and its worker as much as dozens of its inputs do.  Clients that were
answered together ask again one after another, within a moment; sent as they come, their inputs
would make jobs of a few each.  So the next job waits for its share of the crowd, while a job runs,
and for a moment after it.  The share of a small crowd is all of it.  A large one has a job in each
slot: while TorchServe works on one, the sidecar and the clients work on another.  A lone request
does not wait: it is all of its crowd.
"""

import math

from sidecar.scheduling.plan import WAIT, Plan

GATHERING_SECONDS = 0.001  # after a job, at most
LEAST = 8  # inputs; a crowd is not divided into jobs of fewer
ENOUGH = 32  # inputs, for more of which no job waits
AT_ONCE = Plan(1)


class Gathering:
    """What is known of the jobs of one model, which hold at most *most* inputs."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._crowd = 0  # inputs in jobs, or waiting, or likely to be there soon
        self._held = 0  # of them, that waited when they were held back
        self._until = -math.inf  # when the next job has waited long enough

    def share(self, crowd: int, slots: int) -> int:
        """Return how many inputs of a *crowd* one job is to hold, which has so many *slots*."""
        self._crowd = max(self._crowd, crowd)
        jobs = min(slots, max(self._crowd // LEAST, 1))
        return min(math.ceil(self._crowd / jobs), self._most)

    def plan(self, waiting: int, share: int, *, jobs: int, workers: int, now: float) -> Plan:
        """Return whether to send a job of those *waiting*, while *jobs* run at *workers*."""
        self._held = 0
        if waiting >= min(share, ENOUGH) or 0 < jobs < workers:
            return AT_ONCE
        left = self._until - now
        if not jobs and left <= 0:
            return AT_ONCE
        self._held = waiting
        return WAIT if jobs else Plan(0, left)

    def end(self, size: int, in_flight: int, now: float) -> None:
        """Note that a job of *size* inputs has ended, beside others with *in_flight* inputs.

        Those who were answered are likely to ask again.
        """
        self._crowd = size + self._held + in_flight
        self._until = now + GATHERING_SECONDS
