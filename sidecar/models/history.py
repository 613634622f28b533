"""What has happened to the models: every transition, and the changes that clients see."""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from sidecar.models.states import State
from sidecar.schemas.autoscaler import EventType, ScalingEvent

REMEMBERED = 1000


class Change(msgspec.Struct, frozen=True):
    """What an operation did to a model's workers, as GET /autoscaler/history shows it."""

    event: EventType
    workers_before: int
    workers_after: int
    seconds: float


class Transition(msgspec.Struct, frozen=True):
    """One step in a model's life.  *timestamp*: epoch seconds."""

    timestamp: float
    model: str
    before: State
    after: State
    reason: str


class Done(NamedTuple):
    """How often something was done, and the seconds that it took altogether."""

    times: int
    seconds: float


class History:
    """The newest transitions and changes, and counts of all changes since the start."""

    def __init__(
        self,
        count_illegal: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._count_illegal = count_illegal
        self._clock = clock
        self._events: deque[ScalingEvent] = deque(maxlen=REMEMBERED)
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._done: dict[tuple[str, EventType], Done] = {}
        self.transitions: deque[Transition] = deque(maxlen=REMEMBERED)
        self.counts: Counter[str] = Counter()
        self.illegal = 0  # steps that the table of transitions does not have

    def add_transition(self, model: str, before: State, after: State, reason: str) -> None:
        """Remember one step of *model*."""
        self.transitions.append(Transition(self._clock(), model, before, after, reason))

    def add_illegal(self) -> None:
        """Count a step that the table of transitions does not have."""
        self.illegal += 1
        self._count_illegal()

    def add_change(self, model: str, change: Change, reason: str) -> None:
        """Remember what an operation did to the workers of *model*."""
        event = ScalingEvent(
            self._clock(),
            change.event,
            model,
            change.workers_before,
            change.workers_after,
            change.seconds,
            reason,
        )
        self._events.append(event)
        self.counts[change.event] += 1
        done = self._done.get((model, change.event), Done(0, 0.0))
        self._done[model, change.event] = Done(done.times + 1, done.seconds + change.seconds)
        self._seconds[change.event] += change.seconds

    def done(self, model: str, event: EventType) -> Done:
        """Return how often *event* has happened to *model* since the start, and its seconds."""
        return self._done.get((model, event), Done(0, 0.0))

    def mean_seconds(self, *kinds: EventType) -> float | None:
        """Return how long such changes took; None before the first."""
        count = sum(self.counts[kind] for kind in kinds)
        return sum(self._seconds[kind] for kind in kinds) / count if count else None

    @property
    def last(self) -> ScalingEvent | None:
        """The newest change."""
        return self._events[-1] if self._events else None

    def since(self, hours: float, kinds: Iterable[str] = ()) -> list[ScalingEvent]:
        """Return the changes of the last *hours*, newest first; of all kinds, or *kinds* only."""
        wanted, earliest = set(kinds), self._clock() - 3600 * hours
        return [
            each
            for each in reversed(self._events)
            if each.timestamp >= earliest and (not wanted or each.type in wanted)
        ]
