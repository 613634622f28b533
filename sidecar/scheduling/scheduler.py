"""The scheduler: a request to a model goes in, the replies of its inputs come out."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from sidecar.errors import ModelNotFound, RequestTimedOut, SidecarError
from sidecar.scheduling.dispatcher import Dispatcher
from sidecar.scheduling.entry import AwaitedEntry, Payload, Reply


class SchedulingOptions(NamedTuple):
    """How soon a request needs its answer.  *arrived* is a time of the scheduler's clock."""

    priority: float
    timeout: float  # seconds from arrival
    arrived: float
    alone: bool = False  # in its job
    traceparent: str | None = None
    version: str | None = None  # which is to answer; None: the default


class InferenceRequest(msgspec.Struct, frozen=True):
    """The inputs for one model, and how they are to be run.

    *arrived* is a time of the scheduler's clock.  *parameters* has one item for each of *bodies*,
    or none at all.  The entries rank as if they had arrived *delay* seconds later, so that long
    requests do not hold up short ones.
    """

    model: str
    bodies: Sequence[Payload]
    priority: float
    timeout: float
    arrived: float
    alone: bool = False
    traceparent: str | None = None
    version: str | None = None
    type: str = "json"
    parameters: Sequence[dict[str, Any]] = ()
    delay: float = 0.0


class PendingRequest:
    """The queue entries of one request.

    Whoever stops waiting for the answers must call `close`; entries still queued then never run.
    """

    def __init__(
        self,
        request: InferenceRequest,
        entries: list[AwaitedEntry],
        dispatcher: Dispatcher,
        clock: Callable[[], float],
    ) -> None:
        self.entries = entries
        self._request = request
        self._dispatcher = dispatcher
        self._clock = clock
        self._timer = self._set_timer(request.arrived + request.timeout - clock())

    @property
    def answered(self) -> bool:
        """Whether every entry has its reply or its error."""
        return all(entry.reply.done() for entry in self.entries)

    def renew(self) -> None:
        """Restart the time-out: an answer that is sent in parts has one for each part."""
        self._timer.cancel()
        self._timer = self._set_timer(self._request.timeout)

    def close(self) -> None:
        """Stop waiting: discard queued entries, and ignore later replies."""
        self._timer.cancel()
        if any(entry.queued for entry in self.entries):
            self._dispatcher.discard(self.entries)
        for entry in self.entries:
            entry.leave()

    def _set_timer(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(max(seconds, 0.0), self._time_out)

    def _time_out(self) -> None:
        error = RequestTimedOut(self._request.timeout, self._clock() - self._request.arrived)
        for entry in self.entries:
            entry.refuse(error)


class SchedulableModel(Protocol):
    """A model whose inputs can be scheduled: it has a dispatcher."""

    @property
    def dispatcher(self) -> Dispatcher:
        """What takes its entries."""


class Scheduler:
    """Makes entries of a request's inputs, and gives them to the dispatcher of its model."""

    def __init__(
        self, models: Mapping[str, SchedulableModel], clock: Callable[[], float] = time.monotonic
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
