"""When short jobs are sent, so that they are few and full (pure).

A short job costs TorchServe and its worker as much as dozens of its inputs do.  Clients that were
answered together ask again one after another, within a moment; sent as they come, their inputs
would make jobs of a few each.  So the next job waits until as many inputs are there as are likely
to come, while a job runs, and for a moment after it.  A lone request does not wait: it follows a
job of one.
"""

import math

from sidecar.scheduling.bursts import WAIT, Plan

GATHERING_SECONDS = 0.001  # after a job, at most
ENOUGH = 20  # inputs in a job, from which more of them save little
AT_ONCE = Plan(1)


class Gathering:
    """What is known of the jobs of one model, which hold at most *most* inputs."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._enough = min(most, ENOUGH)
        self._likely = 0  # how many inputs are likely to be there soon
        self._held = 0  # of them, that wait already
        self._until = -math.inf  # when the next job has waited long enough

    def plan(self, waiting: int, *, jobs: int, workers: int, now: float) -> Plan:
        """Return whether to send a job of those *waiting*, while *jobs* run at *workers*."""
        if waiting >= min(self._likely, self._enough) or 0 < jobs < workers:
            return AT_ONCE
        self._held = waiting
        if jobs:
            return WAIT
        left = self._until - now
        return Plan(0, left) if left > 0 else AT_ONCE

    def size(self, crowd: int, slots: int) -> int:
        """Return how large a job may be: a *crowd* has a job in each slot, if that is enough."""
        return min(max(self._enough, math.ceil(crowd / slots)), self._most)

    def begin(self, size: int) -> None:
        """Note that a job of *size* inputs is sent."""
        self._likely, self._held = size, 0

    def end(self, size: int, now: float) -> None:
        """Note that a job of *size* inputs has ended: who was answered is likely to ask again."""
        self._likely = size + self._held
        self._until = now + GATHERING_SECONDS
