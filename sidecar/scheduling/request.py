"""A request to a model: its inputs, and the queue entries that they become."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from sidecar.errors import RequestTimedOut
from sidecar.scheduling.dispatcher import Dispatcher
from sidecar.scheduling.entry import AwaitedEntry, Payload


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
