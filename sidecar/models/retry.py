"""When to try again what failed.  Pure: time is an argument."""

from sidecar.backoff import Backoff

FIRST_SECONDS = 5.0
LAST_SECONDS = 300.0


class Retry:
    """The next try of what a backoff delays; somebody who asks for it may shorten the pause."""

    def __init__(self) -> None:
        self._backoff = Backoff(FIRST_SECONDS, LAST_SECONDS)
        self._due_at = 0.0

    def failed(self, now: float) -> float:
        """Count a failure; return the seconds until the next try."""
        pause = self._backoff.failed()
        self._due_at = now + pause
        return pause

    def wait(self, now: float, seconds: float) -> None:
        """Wait without a failure: something is missing that may come."""
        self._due_at = now + seconds

    def succeeded(self) -> None:
        """Forget the failures."""
        self._backoff.succeeded()
        self._due_at = 0.0

    def now(self) -> None:
        """End the pause: somebody asked for it."""
        self._due_at = 0.0

    def due(self, now: float) -> bool:
        """Return whether the pause is over."""
        return now >= self._due_at
