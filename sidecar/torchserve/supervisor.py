"""Keeps our own TorchServe running: restarts it, with back-off, when it dies or freezes."""

import asyncio
import logging
import time
from collections.abc import Callable

import psutil

from sidecar.timing import Backoff, was_late
from sidecar.torchserve.engine_watch import EngineWatch
from sidecar.torchserve.process import TorchServeProcess

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LAST_PAUSE_SECONDS = 30.0
SILENT_SECONDS = 30.0
STARTING_SECONDS = 90.0
LOOK_SECONDS = 2.0
STABLE_SECONDS = 60.0  # having lived this long, the next death starts with the first pause


class Supervisor:
    """Keeps *process* running; *on_change* is called after every start and every death.

    *engine* knows when it last answered, on *clock*.
    """

    def __init__(
        self,
        process: TorchServeProcess,
        on_change: Callable[[], None],
        engine: EngineWatch,
        clock: Callable[[], float] = time.monotonic,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._process = process
        self._on_change = on_change
        self._engine = engine
        self._clock = clock
        self._look_seconds = look_seconds
        self.deaths = 0

    async def run(self) -> None:
        """Start TorchServe, wait for its end, and start it again.

        One that already runs is kept: then this task had failed, not TorchServe.
        """
        backoff = Backoff(FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS)
        while True:
            began = self._clock()
            end = await self._run_once(began)
            self.deaths += 1
            self._on_change()
            if self._clock() - began >= STABLE_SECONDS:
                backoff.record_success()
            pause = backoff.record_failure()
            log.error("TorchServe %s; starting it again in %.1f s", end, pause)
            await asyncio.sleep(pause)

    async def _run_once(self, began: float) -> str:
        """Run it until it ends; return how it ended."""
        try:
            if self._process.pid is None:
                await self._process.start()
        except (OSError, psutil.Error) as exc:  # a full disk, no more processes
            self._process.kill()
            return f"cannot be started: {exc}"
        self._on_change()
        return f"ended with code {await self._end(began)}"

    async def _end(self, began: float) -> int:
        """Wait until it ends, and end it if it stops answering; return its exit code."""
        waiting = asyncio.create_task(self._process.wait())
        looked_at = excused_at = self._clock()
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=self._look_seconds)
                now = self._clock()
                if was_late(self._look_seconds, now - looked_at):
                    excused_at = now
                looked_at, excused_at = now, max(excused_at, self._engine.excused_at)
                if is_frozen(now, began, self._engine.answered_at, excused_at):
                    log.error("TorchServe does not answer any more; ending it")
                    self._process.kill()
            return waiting.result()
        finally:
            waiting.cancel()


def is_frozen(
    now: float, began: float, answered_at: float | None, excused_at: float = float("-inf")
) -> bool:
    """Return whether it has been silent for too long; before its first answer it has more time.

    Silence up to *excused_at* does not count: then we could not ask, or stood still ourselves.
    """
    last = began + STARTING_SECONDS if answered_at is None else answered_at
    return now - max(last, excused_at) > SILENT_SECONDS
