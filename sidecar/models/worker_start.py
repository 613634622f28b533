"""Workers of a model: TorchServe is told to start them, and asked until they are READY."""

import asyncio
import time
from collections.abc import Callable

from sidecar.torchserve.client import ModelState, TorchServeClient
from sidecar.torchserve.failures import EngineRefused, EngineSlow
from sidecar.torchserve.worker_log import WorkerLog, shown

LOOK_SECONDS = 0.03


class LoadFailed(Exception):
    """A model could not be brought up; the message, its handler's if it has one, is for people."""


class WorkerStart:
    """Starts workers; TorchServe restarts those that die while loading, and this gives up.

    *worker_log* holds what a handler said of its failure.
    """

    def __init__(
        self,
        client: TorchServeClient,
        worker_log: WorkerLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._worker_log = worker_log
        self._clock = clock

    async def log_end(self) -> int:
        """Return where the workers' log ends now."""
        return await asyncio.to_thread(self._worker_log.end)

    async def why_refused(self, key: str, refusal: EngineRefused, since: int) -> str:
        """Return why TorchServe does not register *key*.

        Workers that its archive asks for itself may have died of something: their log tells it,
        after *since*.
        """
        reason = None
        if refusal.status == 500:
            reason = await asyncio.to_thread(self._worker_log.find_reason, key, since)
        return reason or f"TorchServe does not take it: {shown(refusal.message)}"

    async def start(
        self, key: str, least: int, most: int, seconds: float, version: str | None = None
    ) -> ModelState:
        """Start *least* to *most* workers; return once the first is READY.

        Raises LoadFailed when none is in *seconds*, or when they die more than once each;
        EngineRefused or EngineGone.
        """
        since = await self.log_end()
        await self._client.scale(key, least, most, version)
        return await self._wait(key, 1, least, seconds, version, since)

    async def scale(self, key: str, workers: int, seconds: float) -> ModelState:
        """Scale it to *workers*, not zero; return once all are READY.  Raises what `start` does."""
        since = await self.log_end()
        await self._client.scale(key, workers, workers)
        return await self._wait(key, workers, workers, seconds, None, since)

    async def _wait(
        self, key: str, wanted: int, started: int, seconds: float, version: str | None, since: int
    ) -> ModelState:
        until, seen = self._clock() + seconds, set[int]()
        late = False
        while not late:
            late = self._clock() >= until  # ask once more: this process may have stood still
            try:
                known = await self._client.describe(key, version)
            except EngineSlow:  # the workers may be fine: a look that takes long ends no load
                continue
            if known is None:
                raise LoadFailed("it was unregistered while it was loaded")
            if len(known.ready) >= wanted:
                return known
            if _deaths(known, seen) > started:
                raise LoadFailed(await self._why(key, since, "its workers die as they load"))
            await asyncio.sleep(LOOK_SECONDS)
        raise LoadFailed(await self._why(key, since, f"no worker was READY within {seconds:g} s"))

    async def _why(self, key: str, since: int, seen: str) -> str:
        reason = await asyncio.to_thread(self._worker_log.find_reason, key, since)
        return reason or f"{seen}; {self._worker_log.where()} may say why"


def _deaths(known: ModelState, seen: set[int]) -> int:
    """Return how many of the processes *seen* so far are gone; add those that are there now."""
    alive = {worker.pid for worker in known.workers if worker.pid > 0}
    seen |= alive
    return len(seen - alive)
