"""Keeps our own TorchServe running: started again, with back-off, whenever it dies."""

import asyncio
import logging
import time
from collections.abc import Callable

from sidecar.torchserve.process import TorchServeProcess

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LAST_PAUSE_SECONDS = 30.0
STABLE_SECONDS = 60.0  # having lived this long, the next death starts with the first pause


class Supervisor:
    """Runs *process* on and on; *on_change* is told of every start and every death."""

    def __init__(
        self,
        process: TorchServeProcess,
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._process = process
        self._on_change = on_change
        self._clock = clock
        self.deaths = 0

    async def run(self) -> None:
        """Starts TorchServe, waits for its end, and starts it again."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = self._clock()
            await self._process.start()
            self._on_change()
            code = await self._process.wait()
            self.deaths += 1
            self._on_change()
            pause = next_pause(pause, self._clock() - began)
            log.error("TorchServe ended with code %s; starting it again in %.1f s", code, pause)
            await asyncio.sleep(pause)


def next_pause(pause: float, lived: float) -> float:
    """Seconds to wait before the next start, after *pause* before the last one."""
    if lived >= STABLE_SECONDS:
        return FIRST_PAUSE_SECONDS
    return min(2 * pause, LAST_PAUSE_SECONDS)
