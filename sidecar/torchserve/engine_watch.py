"""Whether TorchServe answers, by its pings."""

import time
from collections.abc import Callable

from sidecar.torchserve.client import TorchServeClient

SLOW_SECONDS = 1.0  # a miss that took longer was no refusal: it may be the machine's load
MOST_MISSES = 4  # in a row; a refusal counts twice


class EngineWatch:
    """*up* stays true over one ping that is refused, or three that nobody answers in time."""

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
        asked_at = self._clock()
        answers = await self._client.ping()
        now = self._clock()
        if answers:
            self.answered_at, self._misses = now, 0
        else:
            self._misses += 1 if now - asked_at > SLOW_SECONDS else 2
        self.up = answers or (self.up and self._misses < MOST_MISSES)
        return answers

    def changed(self) -> None:
        """TorchServe has ended, or has been started."""
        self.answered_at = None
