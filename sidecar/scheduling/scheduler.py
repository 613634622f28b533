"""The scheduler: the inputs of a request go in, their replies come out."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from sidecar.errors import ModelNotFound, RequestTimedOut, SidecarError
from sidecar.scheduling.dispatcher import Dispatcher
from sidecar.scheduling.entry import AwaitedEntry, Reply
from sidecar.scheduling.request import InferenceRequest, PendingRequest


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

    async def run(self, request: InferenceRequest) -> list[Reply | SidecarError]:
        """Run *request*; return the reply of each input, or why it has none, in order.

        Raises ModelNotFound, QueueFull, ModelNotReady, EngineUnavailable, or RequestTimedOut when
        not all have one in time.  If the caller stops waiting, what is still queued is discarded.
        """
        pending = self.start(request)
        try:
            return [await _outcome(entry) for entry in pending.entries]
        finally:
            pending.close()

    def start(self, request: InferenceRequest) -> PendingRequest:
        """Queue the inputs of *request*; the caller waits for the replies, and closes what it gets.

        Raises ModelNotFound, QueueFull, ModelNotReady or EngineUnavailable.
        """
        loop = asyncio.get_running_loop()
        parameters = request.parameters or [{}] * len(request.bodies)
        entries = [
            AwaitedEntry(
                body,
                loop.create_future(),
                priority=request.priority,
                alone=request.alone,
                type=request.type,
                parameters=own,
                traceparent=request.traceparent,
                delay=request.delay,
            )
            for body, own in zip(request.bodies, parameters, strict=True)
        ]
        if request.version is not None:
            for entry in entries:
                entry.version = request.version
        model = self._models.get(request.model)
        if model is None:  # it has left the program since the request found it
            raise ModelNotFound(request.model)
        dispatcher = model.dispatcher
        dispatcher.put(entries)
        return PendingRequest(request, entries, dispatcher, self._clock)


async def _outcome(entry: AwaitedEntry) -> Reply | SidecarError:
    """Return the reply, or why there is none.  Raises RequestTimedOut, which ends the request."""
    try:
        return await entry.reply
    except RequestTimedOut:
        raise
    except SidecarError as exc:
        return exc
