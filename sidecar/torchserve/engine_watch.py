"""Whether TorchServe answers, by its pings."""

import time
from collections.abc import Callable

from sidecar.torchserve.client import TorchServeClient

MISSES = 2  # pings in a row without an answer: one may be the machine's load


class EngineWatch:
    """*up* stays true over one ping that is not answered."""

    def __init__(
        self, client: TorchServeClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._clock = clock
        self._misses = 0
        self.up = False
        self.answered_at: float | None = None  # since it was started

    @property
    def steady(self) -> bool:
        """Whether the last ping was answered."""
        return self.up and not self._misses

    async def ping(self) -> bool:
        """Asks now; whether it answered."""
        answers = await self._client.ping()
        if answers:
            self.answered_at = self._clock()
        self._misses = 0 if answers else self._misses + 1
        self.up = answers or (self.up and self._misses < MISSES)
        return answers

    def changed(self) -> None:
        """TorchServe has ended, or has been started."""
        self.answered_at = None
