"""Accepts connections, however many come and however few file descriptors are left.

The event loop's own acceptor would silently close connections when descriptors run out, and lose
the backlog when it stops.
"""

import asyncio
import errno
import logging
import os
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from sidecar.errors import TooManyConnections
from sidecar.web.answer_head import json_head
from sidecar.web.connections import Connections
from sidecar.web.error_forms import OWN, Fault
from sidecar.web.request_head import new_request_id

log = logging.getLogger(__name__)

BACKLOG = 65_535  # the system cuts it to what it allows (net.core.somaxconn)
BATCH = 16  # accepted in a turn of the event loop: others get theirs in between
PAUSE_SECONDS = 0.1  # until descriptors are looked for again
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
MAX_DESCRIPTORS = 65_536
MAX_CONNECTIONS = 10_000
LINGER_SECONDS = 1.0  # for a client that is turned away to read why
LINGERING = 64  # of them at once; the others are closed at once


def raise_descriptor_limit() -> None:
    """Raise the limit of file descriptors as far as the system allows, within reason."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def default_max_connections() -> int:
    """Return how many connections leave enough descriptors for everything else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, soft - max(64, soft // 4)))


class Acceptor:
    """Hands connections on *listener* to *connections*, up to *max_connections*.

    Beyond that clients get 503, and so do all of them while no descriptor is left.  A burst may
    exceed the limit by BATCH, since a connection counts once the event loop has opened it.
    """

    def __init__(
        self, listener: socket.socket, connections: Connections, max_connections: int | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._connections = connections
        self._max_connections = max_connections or default_max_connections()
        self._reserve: int | None = None  # a descriptor to give up when there is no other
        self._exhausted = False
        self._paused: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._turned_away: set[asyncio.BaseTransport] = set()

    def start(self) -> None:
        """Listen."""
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)
        self._keep_reserve()
        self._loop.add_reader(self._listener, self._accept_some)

    async def stop(self) -> None:
        """Stop listening.  Connections that already wait to be accepted are still served."""
        if self._listener.fileno() == -1:
            return
        self._loop.remove_reader(self._listener)
        while self._accept():
            pass
        if self._paused is not None:
            self._paused.cancel()
        self._listener.close()  # right after the last look: later clients are refused
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
        if self._opening:
            await asyncio.wait(self._opening)

    def _accept_some(self) -> None:
        for _ in range(BATCH):
            if not self._accept():
                break

    def _accept(self) -> bool:
        """Accept one connection; return whether there may be more."""
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionError:  # it was gone before it was accepted
            return True
        except OSError as exc:
            if exc.errno not in EXHAUSTED:
                raise
            self._bear_exhaustion(exc)
            return False
        self._exhausted = False
        accepted.setblocking(False)
        if len(self._connections) < self._max_connections:
            self._open(self._connections, accepted)
        elif len(self._turned_away) < LINGERING:
            self._count_turned_away()
            self._open(lambda: _TurnedAway(self._turned_away), accepted)
        else:
            self._count_turned_away()
            _refuse(accepted)
        return True

    def _open(self, protocol: Callable[[], asyncio.BaseProtocol], accepted: socket.socket) -> None:
        task = self._loop.create_task(self._connect(protocol, accepted))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(
        self, protocol: Callable[[], asyncio.BaseProtocol], accepted: socket.socket
    ) -> None:
        try:
            await self._loop.connect_accepted_socket(protocol, accepted)
        except OSError as exc:
            accepted.close()
            log.warning("a connection could not be opened: %s", exc)

    def _bear_exhaustion(self, exc: OSError) -> None:
        """Turn some clients away with the reserved descriptor, and look again a little later."""
        if not self._exhausted:
            self._exhausted = True
            log.error("connections are turned away: %s", exc.strerror)
        self._loop.remove_reader(self._listener)
        if self._reserve is not None:
            os.close(self._reserve)
            with suppress(OSError):  # nobody waits any more, or somebody else took the descriptor
                for _ in range(BATCH):
                    accepted, _ = self._listener.accept()
                    self._count_turned_away()
                    _refuse(accepted)
        self._keep_reserve()
        self._paused = self._loop.call_later(PAUSE_SECONDS, self._resume)

    def _keep_reserve(self) -> None:
        try:
            self._reserve = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            self._reserve = None

    def _resume(self) -> None:
        if self._reserve is None:
            self._keep_reserve()
        self._loop.add_reader(self._listener, self._accept_some)

    def _count_turned_away(self) -> None:
        self._connections.context.accounting.metrics.rejections.add(TooManyConnections.__name__)


class _TurnedAway(asyncio.Protocol):
    """A connection that gets its refusal at once, and a little time to read it."""

    def __init__(self, all_of_them: set[asyncio.BaseTransport]) -> None:
        self._all = all_of_them

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = self._transport = cast("asyncio.Transport", transport)
        self._all.add(transport)
        transport.write(turning_away())
        transport.write_eof()
        self._end = asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)

    def connection_lost(self, _: Exception | None) -> None:
        self._end.cancel()
        self._all.discard(self._transport)


def _refuse(accepted: socket.socket) -> None:
    """Send the refusal and close, without waiting for anything."""
    with accepted, suppress(OSError):
        accepted.setblocking(False)
        accepted.send(turning_away())
        accepted.shutdown(socket.SHUT_WR)


def turning_away() -> bytes:
    """Return the whole answer to a connection that is one too many, which nobody serves."""
    rule = "the maximum number of open connections is reached"
    exc = TooManyConnections(rule, field="connections")
    body, request_id = OWN.encode(Fault.of(exc)), new_request_id()
    return json_head(exc.status, len(body), request_id, headers=exc.headers, close=True) + body
