"""Stops asking what keeps failing.  Pure: time is an argument.

Closed: all is well.  Open: after some failures in a row nothing is asked for a while.  Half
open: that while is over, and one job is the probe; it closes the breaker, or opens it for twice
as long.
"""

from typing import Literal

from sidecar.backoff import Backoff

FAILURES = 5
FIRST_PAUSE_SECONDS = 1.0
LAST_PAUSE_SECONDS = 30.0

BreakerState = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """What the last jobs of one model came to."""

    def __init__(self) -> None:
        self._failures = 0
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS)
        self._pause = 0.0  # while it is open
        self._opened_at: float | None = None

    def state(self, now: float) -> BreakerState:
        """What may be asked now."""
        if self._opened_at is None:
            return "closed"
        return "half_open" if now >= self._opened_at + self._pause else "open"

    def seconds_left(self, now: float) -> float:
        """How long it stays open."""
        return 0.0 if self._opened_at is None else max(0.0, self._opened_at + self._pause - now)

    def succeeded(self) -> None:
        """A job was answered."""
        self._failures = 0
        self._backoff.succeeded()
        self._opened_at = None

    def failed(self, now: float) -> bool:
        """A job was not; whether that opened the breaker."""
        state = self.state(now)
        if state == "open":
            return False  # sent before it opened
        self._failures += 1
        if state == "closed" and self._failures < FAILURES:
            return False
        self._opened_at, self._pause = now, self._backoff.failed()
        return True
