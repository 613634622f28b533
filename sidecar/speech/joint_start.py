"""Streams that are asked for at the same moment begin together, so that they share a job.

A job is sent as soon as a slot is free.  Of eight clients that ask at the same moment, the first
would have a job of its own, and the others would wait until it has ended.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

QUIET_SECONDS = 0.001  # about all that a stream waits which nobody joins
TURNS = 6  # of the event loop: what came while this process had no processor is read in them


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> object:
        """Call it off."""


Later = Callable[[float, Callable[[], None]], Timer]  # makes a call, so many seconds from now


def _in_event_loop(seconds: float, call: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(seconds, call)


class _Group:
    """Streams of one model that will begin in the same turn of the event loop."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.size = 0
        self.timer: Timer | None = None


class JointStart:
    """Holds each stream back until no other has joined it for a moment, or its job is full."""

    def __init__(self, later: Later = _in_event_loop) -> None:
        self._later = later
        self._groups: dict[str, _Group] = {}  # those that have not begun, by the model's key

    async def wait(self, model: str, most: int) -> None:
        """Return when a stream of *model*, whose jobs hold *most* inputs, is to begin.

        That is when no other has come for QUIET_SECONDS, nor in the TURNS after that, or when there
        are *most* of them.
        """
        group = self._groups.setdefault(model, _Group())
        group.size += 1
        if group.timer is not None:
            group.timer.cancel()
        if group.size >= most:
            self._begin(model)
            return
        group.timer = self._later(QUIET_SECONDS, partial(self._begin_after, TURNS, model))
        await group.begun.wait()

    def _begin_after(self, turns: int, model: str) -> None:
        """Begin after so many turns of the event loop in which no other stream comes."""
        if turns:
            again = partial(self._begin_after, turns - 1, model)
            self._groups[model].timer = self._later(0, again)
        else:
            self._begin(model)

    def _begin(self, model: str) -> None:
        self._groups.pop(model).begun.set()
