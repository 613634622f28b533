"""Turns of the event loop: a crowd of requests, or one that is large, must not hold up the others.

Requests that arrive in the same moment would all be served in one turn of the event loop, and
whatever came a little later would wait for all of them.  So a turn takes up new requests, and
pieces of large bodies, for some milliseconds only.  The rest wait in one line for each client, and
the lines advance in rotation: a client that sends hundreds at once delays its own requests, and
others only by their share.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from sidecar.settings import MB

TURN_SECONDS = 0.005  # in which something may be taken up
RELEASED = 4  # that have waited, in one turn; the dearest routes take some milliseconds each
LARGE_BYTES = MB  # one pass over as many takes about a millisecond
BREAK_SECONDS = 0.002  # several turns: enough for a small request to be answered


async def take_break(size: int) -> None:
    """Let other requests be served before the next pass over *size* bytes, if that is long."""
    if size > LARGE_BYTES:
        await asyncio.sleep(BREAK_SECONDS)


class Turns:
    """What may be taken up in this turn of the event loop: requests, and pieces of bodies."""

    def __init__(self) -> None:
        self._began: float | None = None  # when the first of this turn was taken up
        self._lines: OrderedDict[str, deque[Callable[[], bool]]] = OrderedDict()

    def take(self) -> bool:
        """Return whether something may be taken up at once."""
        if self._lines:
            return False
        now = time.monotonic()
        if self._began is None:
            self._began = now
            asyncio.get_running_loop().call_soon(self._next_turn)
        return now - self._began < TURN_SECONDS

    async def wait(self, client: str) -> None:
        """Wait until it is *client*'s turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def release() -> bool:
            if turn.done():
                return False
            turn.set_result(None)
            return True

        self.line_up(client, release)
        await turn

    def line_up(self, client: str, begin: Callable[[], bool]) -> None:
        """Call *begin* when it is *client*'s turn; it returns False if its client has left."""
        self._lines.setdefault(client, deque()).append(begin)

    def _next_turn(self) -> None:
        self._began = None
        released = 0
        while self._lines and released < RELEASED:
            client, line = self._lines.popitem(last=False)
            begin = line.popleft()
            if line:
                self._lines[client] = line  # behind the others
            released += begin()
        if released:
            asyncio.get_running_loop().call_soon(self._next_turn)
