"""Equal questions at the same time are computed once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SingleFlight(Generic[Answer]):
    """Whoever asks first computes; the others wait for that answer.

    A failure of the first is not handed on, nor what is not *shareable*: it may be the first
    one's own (its time-out, its leaving).  Of those that waited, the next computes.
    """

    def __init__(self) -> None:
        self._flights: dict[bytes, asyncio.Future[Answer | None]] = {}

    async def run(
        self,
        key: bytes,
        compute: Callable[[], Awaitable[Answer]],
        shareable: Callable[[Answer], bool] = lambda _: True,
    ) -> tuple[Answer, bool]:
        """Return the answer, and whether it was computed for somebody else.

        Raises what *compute* raises, if it is this caller's own.
        """
        while (flight := self._flights.get(key)) is not None:
            answer = await asyncio.shield(flight)
            if answer is not None:
                return answer, True
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        shared = None
        try:
            answer = await compute()
            shared = answer if shareable(answer) else None
            return answer, False
        finally:
            del self._flights[key]
            flight.set_result(shared)
