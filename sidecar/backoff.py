"""Pauses between tries of what fails.  Pure: nothing here waits, and nothing looks at a clock."""


class Backoff:
    """Each failure doubles the pause, from *first_seconds* up to *longest_seconds*."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._next = first_seconds

    def failed(self) -> float:
        """Count a failure; return the seconds to wait before the next try."""
        pause = self._next
        self._next = min(2 * pause, self._longest)
        return pause

    def succeeded(self) -> None:
        """Forget the failures: the next pause is the first one again."""
        self._next = self._first
