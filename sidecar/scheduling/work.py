"""A request at work: its inputs, and the entries that they became."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from sidecar.errors import RequestTimedOut
from sidecar.scheduling.dispatcher import Dispatcher
from sidecar.scheduling.entry import Body, Entry


class Urgency(NamedTuple):
    """How soon a request wants its answer.  *arrived* is on the scheduler's clock."""

    priority: float
    timeout: float  # seconds from arrival
    arrived: float
    alone: bool = False  # in its job
    traceparent: str | None = None


class Work(msgspec.Struct, frozen=True):
    """A request's inputs, and how it wants them run.  *arrived* is on the scheduler's clock.

    *parameters* lie beside *bodies*, or are none at all.  All inputs let others pass for *delay*
    seconds: long work must not hold up short work.
    """

    model: str
    bodies: Sequence[Body]
    priority: float
    timeout: float
    arrived: float
    alone: bool = False
    traceparent: str | None = None
    type: str = "json"
    parameters: Sequence[dict[str, Any]] = ()
    delay: float = 0.0


class Running:
    """The entries of one request.  Whoever stops waiting closes it: what is queued never runs."""

    def __init__(
        self, work: Work, entries: list[Entry], dispatcher: Dispatcher, clock: Callable[[], float]
    ) -> None:
        self.entries = entries
        self._work = work
        self._dispatcher = dispatcher
        self._clock = clock
        self._timer = self._set_timer(work.arrived + work.timeout - clock())

    @property
    def answered(self) -> bool:
        """Whether every entry has its reply, or its error."""
        return all(entry.reply.done() for entry in self.entries)

    def renew(self) -> None:
        """The time-out counts from now: an answer in parts has one for each part."""
        self._timer.cancel()
        self._timer = self._set_timer(self._work.timeout)

    def close(self) -> None:
        """Nobody waits any more."""
        self._timer.cancel()
        if any(entry.queued for entry in self.entries):
            self._dispatcher.discard(self.entries)
        for entry in self.entries:
            entry.leave()

    def _set_timer(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(max(seconds, 0.0), self._time_out)

    def _time_out(self) -> None:
        error = RequestTimedOut(self._work.timeout, self._clock() - self._work.arrived)
        for entry in self.entries:
            entry.refuse(error)
