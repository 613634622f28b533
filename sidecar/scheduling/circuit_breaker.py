"""A breaker that stops sending jobs to a model that keeps failing.  Pure: time is an argument.

Closed: all is well.  Open: after several failures in a row no job is sent for a while.  Half
open: that time is over, and one job is sent as a probe; its success closes the breaker, its
failure opens it for twice as long.
"""

from typing import Literal

from sidecar.timing import Backoff

FAILURES = 5
FIRST_PAUSE_SECONDS = 1.0
LAST_PAUSE_SECONDS = 30.0

BreakerState = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """Whether jobs may be sent to one model, by how its last ones ended."""

    def __init__(self) -> None:
        self._failures = 0
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS)
        self._pause = 0.0  # while it is open
        self._opened_at: float | None = None
        self.at_rest = True  # closed, and the last job was answered: there is nothing to ask

    def state(self, now: float) -> BreakerState:
        """Return whether jobs may be sent: all, none, or one."""
        if self._opened_at is None:
            return "closed"
        return "half_open" if now >= self._opened_at + self._pause else "open"

    def seconds_left(self, now: float) -> float:
        """Return how many seconds it stays open."""
        return 0.0 if self._opened_at is None else max(0.0, self._opened_at + self._pause - now)

    def record_success(self) -> None:
        """Count an answered job, which closes the breaker."""
        if self.at_rest:
            return
        self.at_rest = True
        self._failures = 0
        self._backoff.record_success()
        self._opened_at = None

    def record_failure(self, now: float) -> bool:
        """Count a failed job; return whether that opened the breaker."""
        state = self.state(now)
        if state == "open":
            return False  # sent before it opened
        self._failures += 1
        self.at_rest = False
        if state == "closed" and self._failures < FAILURES:
            return False
        self._opened_at, self._pause = now, self._backoff.record_failure()
        return True
