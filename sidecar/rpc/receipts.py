"""How many messages may be on their way in at once.

gRPC receives a message as a whole and does not say how large it is before that.  So as many may
arrive at the same time as fit, at their largest, into the memory for the bodies of requests; the
others wait.  One client has half of these places, so that it cannot keep the others out.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.errors import InvalidBody, RequestTimeout
from sidecar.settings import Settings


class Receipts:
    """The places for messages that arrive."""

    def __init__(self, settings: Settings) -> None:
        most = max(2, int(settings.max_received_mb / settings.max_body_mb))
        self._seconds = settings.body_idle_timeout_seconds
        self._places = asyncio.Semaphore(most)
        self._most_of_client = most // 2
        self._of_clients: weakref.WeakValueDictionary[str, asyncio.Semaphore] = (
            weakref.WeakValueDictionary()
        )

    async def receive(self, client: str, messages: AsyncIterator[bytes]) -> bytes:
        """Return the one message of a call.

        Raises RequestTimeout for one that does not arrive in time, and InvalidBody for none.
        """
        async with self._place(client):
            try:
                async with asyncio.timeout(self._seconds):
                    return await anext(messages)
            except TimeoutError:
                raise RequestTimeout(f"expected within {self._seconds:g} s", field="body") from None
            except StopAsyncIteration:
                raise InvalidBody("expected a message", field="body") from None

    @asynccontextmanager
    async def _place(self, client: str) -> AsyncIterator[None]:
        own = self._of_clients.get(client)
        if own is None:
            own = self._of_clients[client] = asyncio.Semaphore(self._most_of_client)
        async with own, self._places:
            yield
