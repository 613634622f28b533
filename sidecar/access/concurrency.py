"""How many requests of one client, or for one model, are at work at once."""

from collections import Counter


class Concurrency:
    """Counts of requests at work, by whom they count for."""

    def __init__(self) -> None:
        self._at_work: Counter[str] = Counter()

    def enter(self, who: str, limit: int) -> bool:
        """Whether one more may begin; if so it counts until `leave`."""
        if self._at_work[who] >= limit:
            return False
        self._at_work[who] += 1
        return True

    def leave(self, who: str) -> None:
        """One has ended."""
        self._at_work[who] -= 1
        if not self._at_work[who]:
            del self._at_work[who]
