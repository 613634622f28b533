"""How much memory request bodies may take while they are being received, and how much time."""

from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sidecar.errors import Overloaded
from sidecar.web.turns import Turns

RETRY_SECONDS = 2
UNCOUNTED_BYTES = 1 << 16  # of each body: small requests are served whatever else arrives


class BodyBudget:
    """A limit for the bodies of all clients together, and of any one client.

    One client may hold half of *max_bytes*, so that no client alone can keep the others out.
    *turns* decides in which turn of the event loop the next piece of a body is handled.
    """

    def __init__(self, max_bytes: int, turns: Turns) -> None:
        self.turns = turns
        self._max_bytes = max_bytes
        self._max_of_client = max_bytes // 2
        self.held = 0  # bytes
        self._held_by: Counter[str] = Counter()

    def take(self, client: str, size: int) -> None:
        """Count *size* more bytes of *client*.  Raises Overloaded when they do not fit."""
        if self.held + size > self._max_bytes:
            raise Overloaded(
                "the bodies being received take all the memory set aside for them",
                field="body",
                retry_after=RETRY_SECONDS,
            )
        if self._held_by[client] + size > self._max_of_client:
            raise Overloaded(
                "the bodies this client is sending take all the memory set aside for it",
                field="body",
                retry_after=RETRY_SECONDS,
            )
        self.held += size
        self._held_by[client] += size

    def give_back(self, client: str, size: int) -> None:
        """Count *size* bytes of *client* no longer."""
        self.held -= size
        self._held_by[client] -= size
        if not self._held_by[client]:
            del self._held_by[client]


class BodyShare:
    """The bytes that one body holds of *budget*: a context manager that gives them back.

    *client* tells whose body it is; only bodies above UNCOUNTED_BYTES ask.
    """

    def __init__(self, budget: BodyBudget, client: Callable[[], str]) -> None:
        self._budget = budget
        self._find_client = client
        self._client: str | None = None
        self._size = 0
        self._counted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._budget.give_back(self._client, self._counted)
            self._client, self._counted = None, 0

    def grow(self, size: int) -> None:
        """Hold *size* more bytes.  Raises Overloaded when they do not fit."""
        self._size += size
        more = self._size - UNCOUNTED_BYTES - self._counted
        if more > 0:
            if self._client is None:
                self._client = self._find_client()
            self._budget.take(self._client, more)
            self._counted += more

    async def turn(self) -> None:
        """Wait until the next piece may be handled.  Small bodies do not wait."""
        if self._client is not None and not self._budget.turns.take():
            await self._budget.turns.wait(self._client)
