"""Whether TorchServe answers, by its pings."""

import time
from collections.abc import Callable

from sidecar.timing import was_late
from sidecar.torchserve.client import QUICK_SECONDS, TorchServeClient
from sidecar.torchserve.failures import EngineOutOfReach

SLOW_SECONDS = 1.0  # a miss that took longer was not a refusal: the machine may be loaded
MOST_MISSES = 4  # in a row; a refusal counts twice


class EngineWatch:
    """*up* stays true over one ping that is refused, or three that nobody answers in time.

    A ping that could not be sent, or during which this process stood still, says nothing about
    TorchServe: it does not count as a miss, and *excused_at* is the time of the last one.
    """

    def __init__(
        self, client: TorchServeClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._clock = clock
        self._misses = 0
        self.up = False
        self.answered_at: float | None = None  # since it was started
        self.excused_at = float("-inf")

    @property
    def steady(self) -> bool:
        """Whether it is up and answered the last ping."""
        return self.up and not self._misses

    async def ping(self) -> bool:
        """Ask now; return whether it answered, or counts as up without an answer."""
        asked_at = self._clock()
        try:
            answers = await self._client.ping()
        except EngineOutOfReach:
            self.excused_at = self._clock()
            return self.up
        now = self._clock()
        if answers:
            self.answered_at, self._misses = now, 0
        elif was_late(QUICK_SECONDS, now - asked_at):
            self.excused_at = now
            return self.up
        else:
            self._misses += 1 if now - asked_at > SLOW_SECONDS else 2
        self.up = answers or (self.up and self._misses < MOST_MISSES)
        return answers

    async def answers(self) -> bool:
        """Return whether it answers now, or the last observation if we cannot ask.

        Misses are not counted here: how often others ask must not decide when TorchServe is away.
        """
        try:
            return await self._client.ping()
        except EngineOutOfReach:
            return self.up

    def forget_answers(self) -> None:
        """Forget when it answered: TorchServe has ended, or has been started."""
        self.answered_at = None
