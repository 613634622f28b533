"""How the program ends: what was asked is answered first, and a second signal ends it at once."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable

from sidecar.errors import Draining
from sidecar.services import Services

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.02


class StopSignals:
    """SIGINT and SIGTERM: the first asks for a stop, the second for one at once."""

    def __init__(self, at_once: Callable[[], None]) -> None:
        self._end_at_once = at_once
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()

    def listen(self) -> None:
        """From now on; needs a running event loop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._receive)

    def _receive(self) -> None:
        if self.asked.is_set():
            log.warning("a second signal: stopping at once")
            self.at_once.set()
            self._end_at_once()
        self.asked.set()


async def drain(services: Services, at_once: asyncio.Event) -> None:
    """No new work; what is queued and in flight is answered, within the set time.

    Then, or when *at_once* is set, the rest is refused.
    """
    services.draining.set()
    seconds = services.settings.drain_seconds
    until = time.monotonic() + seconds
    while services.statistics.active and not at_once.is_set():
        if time.monotonic() >= until:
            log.warning("not all was answered within %g s", seconds)
            break
        await asyncio.sleep(LOOK_SECONDS)
    await services.scheduler.stop(Draining("the server is shutting down", retry_after=5))
