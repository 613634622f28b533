"""How the program ends: accepted requests are answered first; a second signal ends it at once."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable

from sidecar.errors import Draining
from sidecar.program import Program
from sidecar.web.connections import Connections

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.02
UNFINISHED_SECONDS = 5.0  # for requests of which something is still missing
REFUSAL_SECONDS = 1.0  # for the last refusals to leave


class StopSignals:
    """SIGINT and SIGTERM: the first asks for a stop, the second for one at once."""

    def __init__(self, at_once: Callable[[], None]) -> None:
        self._end_at_once = at_once
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()

    def listen(self) -> None:
        """Listen for both signals from now on; needs a running event loop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._receive)

    def _receive(self) -> None:
        if self.asked.is_set():
            log.warning("a second signal: stopping at once")
            self.at_once.set()
            self._end_at_once()
        self.asked.set()


async def drain(
    program: Program,
    connections: Connections,
    stop_listening: Callable[[], Awaitable[None]],
    at_once: asyncio.Event,
    *,
    unfinished_seconds: float = UNFINISHED_SECONDS,
) -> None:
    """Answer every request that was accepted, within the set time, and close all connections.

    While earlier requests are being answered it still listens: new ones, and /readyz, are told that
    the server is stopping.  What is not answered when the time is up, or when *at_once* is set, is
    refused, and so is a request that has not arrived whole after *unfinished_seconds*.
    """
    program.draining.set()  # from now on, each answer closes its connection
    before = connections.unanswered()
    began = time.monotonic()
    until = began + program.settings.drain_seconds
    listening = True
    while not at_once.is_set():
        if listening and not any(each.unanswered for each in before):
            await stop_listening()
            listening = False
        if not listening:
            connections.close_idle()
            if not connections and not program.calls:
                break
        now = time.monotonic()
        if now >= until:
            break
        if now >= began + unfinished_seconds:
            connections.refuse_unfinished()
        await asyncio.sleep(LOOK_SECONDS)
    await stop_listening()
    if connections.unanswered() or program.calls:
        seconds = time.monotonic() - began
        log.warning("not all was answered within %.1f s: the rest is refused", seconds)
    await program.operations.stop(Draining("the server is shutting down", retry_after=5))
    await _refuse_rest(connections)


async def _refuse_rest(connections: Connections) -> None:
    """Refuse what is still unanswered, and wait a short while for these answers to be sent."""
    until = time.monotonic() + REFUSAL_SECONDS
    while connections.unanswered() and time.monotonic() < until:
        connections.refuse_unfinished()
        connections.refuse_unserved()
        await asyncio.sleep(LOOK_SECONDS)
