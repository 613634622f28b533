"""A request's inputs go in, their replies come out."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from sidecar.errors import RequestTimedOut, SidecarError
from sidecar.scheduling.dispatcher import Dispatcher
from sidecar.scheduling.entry import Entry, Reply
from sidecar.scheduling.work import Running, Work


class Dispatched(Protocol):
    """A model, as far as the scheduler knows it."""

    @property
    def dispatcher(self) -> Dispatcher:
        """What takes its entries."""


class Scheduler:
    """Makes entries of a request's inputs, and gives them to the dispatcher of its model."""

    def __init__(
        self, models: Mapping[str, Dispatched], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._models = models
        self._clock = clock

    async def run(self, work: Work) -> list[Reply | SidecarError]:
        """The reply of each input, or why it has none, in order.

        Raises QueueFull, ModelNotReady, EngineUnavailable, or RequestTimedOut when not all
        have one in time.  Whoever stops waiting takes with them what is still queued.
        """
        running = self.start(work)
        try:
            return [await _outcome(entry) for entry in running.entries]
        finally:
            running.close()

    def start(self, work: Work) -> Running:
        """Queues a request's inputs; the caller waits for the replies, and closes it.

        Raises QueueFull, ModelNotReady or EngineUnavailable.
        """
        loop = asyncio.get_running_loop()
        parameters = work.parameters or [{}] * len(work.bodies)
        entries = [
            Entry(
                body,
                loop.create_future(),
                priority=work.priority,
                alone=work.alone,
                type=work.type,
                parameters=own,
                traceparent=work.traceparent,
                delay=work.delay,
            )
            for body, own in zip(work.bodies, parameters, strict=True)
        ]
        dispatcher = self._models[work.model].dispatcher
        dispatcher.put(entries)
        return Running(work, entries, dispatcher, self._clock)


async def _outcome(entry: Entry) -> Reply | SidecarError:
    """The reply, or why there is none.  Raises RequestTimedOut: that ends the whole request."""
    try:
        return await entry.reply
    except RequestTimedOut:
        raise
    except SidecarError as exc:
        return exc
