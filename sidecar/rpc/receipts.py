"""How many messages may be received at the same time.

gRPC receives a message as a whole and does not tell its size beforehand.  Every message is
therefore counted at the largest size allowed, and only as many are received at once as fit into
the memory for request bodies; the others wait.  One client can take at most half of these places,
so that it cannot shut out the others.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.errors import InvalidBody, RequestTimeout
from sidecar.settings import Settings


class Receipts:
    """Limits how many messages are received at once, in total and for each client."""

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

        Raises RequestTimeout if it does not arrive in time, and InvalidBody if none is sent.
        """
        async with self._place(client):
            try:
                async with asyncio.timeout(self._seconds):
                    return await anext(messages)
            except TimeoutError:
                limit = f"must arrive within {self._seconds:g} seconds"
                raise RequestTimeout(limit, field="body") from None
            except StopAsyncIteration:
                raise InvalidBody("expected a message", field="body") from None

    @asynccontextmanager
    async def _place(self, client: str) -> AsyncIterator[None]:
        own = self._of_clients.get(client)
        if own is None:
            own = self._of_clients[client] = asyncio.Semaphore(self._most_of_client)
        async with own, self._places:
            yield
