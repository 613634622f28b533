"""How long to wait between tries, and whether a wait took too long.  Pure.

Nothing here waits or looks at a clock: the time is an argument.
"""

LATE_SECONDS = 5.0  # even a machine under heavy load is not as late as that


class Backoff:
    """Pauses between tries: each failure doubles them, up to *longest_seconds*."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._next = first_seconds

    def record_failure(self) -> float:
        """Count a failure; return the seconds to wait before the next try."""
        pause = self._next
        self._next = min(2 * pause, self._longest)
        return pause

    def record_success(self) -> None:
        """Forget the failures: the next pause is the first one again."""
        self._next = self._first


class Retry:
    """When to try again what has failed, with a backoff that somebody may cut short."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._backoff = Backoff(first_seconds, longest_seconds)
        self._due_at = 0.0

    def record_failure(self, now: float) -> float:
        """Count a failure; return the seconds until the next try."""
        pause = self._backoff.record_failure()
        self._due_at = now + pause
        return pause

    def record_success(self) -> None:
        """Forget the failures."""
        self._backoff.record_success()
        self._due_at = 0.0

    def postpone(self, now: float, seconds: float) -> None:
        """Try again in *seconds*, without counting a failure: what is missing may come."""
        self._due_at = now + seconds

    def end_pause(self) -> None:
        """Allow the next try at once: somebody asked for it."""
        self._due_at = 0.0

    def due(self, now: float) -> bool:
        """Return whether the pause is over."""
        return now >= self._due_at


def was_late(meant_seconds: float, took_seconds: float) -> bool:
    """Return whether a wait of *meant_seconds* took so much longer that this process stood still.

    A process that was stopped (SIGSTOP, a paused container, a suspended machine) wakes up to
    clocks that have gone on without it.  What it measured across that gap says nothing about
    others, so whoever would act on their silence must look again first.
    """
    return took_seconds - meant_seconds > LATE_SECONDS
