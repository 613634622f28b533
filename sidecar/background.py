"""Tasks that run beside the requests for as long as the program does.

Whatever such a task raises, it is logged and counted, and after a pause the task is started
again: a machine that has no descriptors left for a second must not need a restart.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from sidecar.timing import Backoff

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
STABLE_SECONDS = 60.0  # having run this long, a task that fails gets the first pause again

TaskFunction = Callable[[], Coroutine[Any, Any, None]]


class BackgroundTasks:
    """Runs the tasks; *on_failure* is told the name of each that has failed.

    *down* names those that have failed and wait to be started again.
    """

    def __init__(
        self, on_failure: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_failure = on_failure
        self._clock = clock
        self.down: set[str] = set()

    @asynccontextmanager
    async def running(self, name: str, work: TaskFunction) -> AsyncIterator[None]:
        """Keep *work* running until the block ends.  A task that returns is not started again."""
        task = asyncio.create_task(self._keep_running(name, work), name=name)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _keep_running(self, name: str, work: TaskFunction) -> None:
        backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while True:
            began = self._clock()
            try:
                await work()
            except (Exception, asyncio.CancelledError) as exc:
                if _was_cancelled(exc):
                    raise
                if self._clock() - began >= STABLE_SECONDS:
                    backoff.record_success()
                pause = backoff.record_failure()
                log.exception(
                    "the background task %s has failed; starting it again in %g s", name, pause
                )
            else:
                return
            self.down.add(name)
            self._on_failure(name)
            await asyncio.sleep(pause)
            self.down.discard(name)


def _was_cancelled(exc: BaseException) -> bool:
    """Return whether this task was cancelled, rather than a future that it waited for."""
    task = asyncio.current_task()
    return isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling() > 0
