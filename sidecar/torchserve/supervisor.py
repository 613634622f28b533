"""Keeps our own TorchServe running: started again, with back-off, whenever it dies or freezes."""

import asyncio
import logging
import time
from collections.abc import Callable

import psutil

from sidecar.torchserve.process import TorchServeProcess

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LAST_PAUSE_SECONDS = 30.0
SILENT_SECONDS = 30.0
STARTING_SECONDS = 90.0
LOOK_SECONDS = 2.0
STABLE_SECONDS = 60.0  # having lived this long, the next death starts with the first pause


class Supervisor:
    """Runs *process* on and on; *on_change* is told of every start and every death.

    *answered_at* tells when it last answered, on *clock*; None: not since its start.
    """

    def __init__(
        self,
        process: TorchServeProcess,
        on_change: Callable[[], None],
        answered_at: Callable[[], float | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._process = process
        self._on_change = on_change
        self._answered_at = answered_at
        self._clock = clock
        self.deaths = 0

    async def run(self) -> None:
        """Starts TorchServe, waits for its end, and starts it again."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = self._clock()
            end = await self._run_once(began)
            self.deaths += 1
            self._on_change()
            pause = next_pause(pause, self._clock() - began)
            log.error("TorchServe %s; starting it again in %.1f s", end, pause)
            await asyncio.sleep(pause)

    async def _run_once(self, began: float) -> str:
        """Until it ends; how that was."""
        try:
            await self._process.start()
        except (OSError, psutil.Error) as exc:  # a full disk, no more processes
            self._process.kill()
            return f"cannot be started: {exc}"
        self._on_change()
        return f"ended with code {await self._end(began)}"

    async def _end(self, began: float) -> int:
        """Waits until it ends; ends it when it says nothing any more.  Its exit code."""
        waiting = asyncio.create_task(self._process.wait())
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=LOOK_SECONDS)
                if is_frozen(self._clock(), began, self._answered_at()):
                    log.error("TorchServe does not answer any more; ending it")
                    self._process.kill()
            return waiting.result()
        finally:
            waiting.cancel()


def is_frozen(now: float, began: float, answered_at: float | None) -> bool:
    """Whether it has been silent for too long; before its first answer it has more time."""
    last = began + STARTING_SECONDS if answered_at is None else answered_at
    return now - last > SILENT_SECONDS


def next_pause(pause: float, lived: float) -> float:
    """Seconds to wait before the next start, after *pause* before the last one."""
    if lived >= STABLE_SECONDS:
        return FIRST_PAUSE_SECONDS
    return min(2 * pause, LAST_PAUSE_SECONDS)
