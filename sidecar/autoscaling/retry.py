"""When to try again what failed.  Pure: time is an argument."""

FIRST_SECONDS = 5.0
LAST_SECONDS = 300.0


class Retry:
    """Each failure doubles the pause, up to five minutes; a success forgets them."""

    def __init__(self) -> None:
        self._pause = FIRST_SECONDS
        self._due_at = 0.0

    def failed(self, now: float) -> float:
        """It failed again; seconds until the next try."""
        pause = self._pause
        self._due_at = now + pause
        self._pause = min(2 * pause, LAST_SECONDS)
        return pause

    def wait(self, now: float, seconds: float) -> None:
        """Not a failure: something is missing that may come."""
        self._due_at = now + seconds

    def succeeded(self) -> None:
        """All is well again."""
        self._pause, self._due_at = FIRST_SECONDS, 0.0

    def now(self) -> None:
        """Somebody asked for it: the pause is over."""
        self._due_at = 0.0

    def due(self, now: float) -> bool:
        """Whether the pause is over."""
        return now >= self._due_at
