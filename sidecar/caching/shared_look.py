"""A look at something outside that many may want at once, and that each would pay for."""

import time
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from sidecar.caching.single_flight import SingleFlight

Answer = TypeVar("Answer")


class _Seen(NamedTuple, Generic[Answer]):
    answer: Answer
    at: float


class SharedLook(Generic[Answer]):
    """Asks once at a time at most, and not again for *seconds*; everybody gets that answer."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[Answer]],
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._newest: _Seen[Answer] | None = None
        self._flight: SingleFlight[_Seen[Answer]] = SingleFlight()

    async def get(self) -> Answer:
        """Return the newest answer.  Raises what *ask* raises, if it is this caller's own."""
        newest = self._newest
        if newest is None or self._clock() - newest.at >= self._seconds:
            newest, _ = await self._flight.run(b"", self._look)
        return newest.answer

    async def _look(self) -> _Seen[Answer]:
        answer = await self._ask()
        self._newest = _Seen(answer, self._clock())
        return self._newest
