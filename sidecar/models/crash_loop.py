"""Whether a model's workers keep dying, for reports alone.  Pure: time is an argument.

TorchServe restarts a dead worker without reporting it, but the process id changes.
"""

from collections import deque
from collections.abc import Collection

WINDOW_SECONDS = 120.0
MANY_DEATHS = 3


class CrashLoop:
    """The deaths of one model's workers in the last two minutes."""

    def __init__(self) -> None:
        self._alive: frozenset[int] = frozenset()
        self._deaths: deque[float] = deque()
        self.total = 0  # since the model came

    def observe(self, pids: Collection[int], now: float) -> None:
        """Note which processes the READY workers are now; those that are gone have died."""
        seen = frozenset(pids)
        died = len(self._alive - seen)
        self._deaths.extend([now] * died)
        self.total += died
        self._alive = seen

    def forget(self) -> None:
        """Forget the workers: we or TorchServe ended them, and that does not count as dying."""
        self._alive = frozenset()

    def deaths(self, now: float) -> int:
        """Return how many deaths there were in the window."""
        while self._deaths and self._deaths[0] <= now - WINDOW_SECONDS:
            self._deaths.popleft()
        return len(self._deaths)

    def trouble(self, now: float) -> str | None:
        """Return a sentence about the deaths if they are too many, else None."""
        deaths = self.deaths(now)
        if deaths < MANY_DEATHS:
            return None
        return f"its workers died {deaths} times in the last {WINDOW_SECONDS / 60:g} minutes"
