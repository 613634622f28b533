"""Whether a model's workers keep dying.  Pure: time is an argument.

TorchServe starts a dead worker again and says nothing of it; but its process is another one.
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

    def saw(self, pids: Collection[int], now: float) -> None:
        """The processes of the READY workers now."""
        seen = frozenset(pids)
        self._deaths.extend([now] * len(self._alive - seen))
        self._alive = seen

    def forget(self) -> None:
        """All workers were ended by us, or with TorchServe: these are no deaths."""
        self._alive = frozenset()

    def deaths(self, now: float) -> int:
        """How many there were in the window."""
        while self._deaths and self._deaths[0] <= now - WINDOW_SECONDS:
            self._deaths.popleft()
        return len(self._deaths)

    def trouble(self, now: float) -> str | None:
        """A sentence when that is too many."""
        deaths = self.deaths(now)
        if deaths < MANY_DEATHS:
            return None
        return f"its workers died {deaths} times in the last {WINDOW_SECONDS / 60:g} minutes"
