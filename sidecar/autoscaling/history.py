"""What the autoscaler has done."""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable

from sidecar.schemas.autoscaler import EventType, ScalingEvent

REMEMBERED = 1000


class History:
    """The newest events, and counts of all since start."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._events: deque[ScalingEvent] = deque(maxlen=REMEMBERED)
        self.counts: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def add(
        self, kind: EventType, model: str, before: int, after: int, seconds: float, reason: str
    ) -> None:
        """One more."""
        now = self._clock()
        self._events.append(ScalingEvent(now, kind, model, before, after, seconds, reason))
        self.counts[kind] += 1
        self._seconds[kind] += seconds

    def mean_seconds(self, *kinds: EventType) -> float | None:
        """How long such events took; None before the first."""
        count = sum(self.counts[kind] for kind in kinds)
        return sum(self._seconds[kind] for kind in kinds) / count if count else None

    @property
    def last(self) -> ScalingEvent | None:
        """The newest."""
        return self._events[-1] if self._events else None

    def since(self, hours: float, kinds: Iterable[str] = ()) -> list[ScalingEvent]:
        """The events of the last *hours*, newest first; all kinds, or *kinds* only."""
        wanted, earliest = set(kinds), self._clock() - 3600 * hours
        return [
            each
            for each in reversed(self._events)
            if each.timestamp >= earliest and (not wanted or each.type in wanted)
        ]
