"""All open connections of a port: counted, checked twice a second, and ended when it closes."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from sidecar.web.connection import Connection
from sidecar.web.middleware import SERVER, ServerContext

log = logging.getLogger(__name__)

CHECK_SECONDS = 0.5
OF_SERVER = frozenset({"handler_cancellation"})  # options that are not for each connection
SETTLE_SECONDS = 0.25  # idle for as long, a client is not about to send its next request


class Connections(web.Server):
    """aiohttp's server, whose connections have time limits.

    It calls the `check` of each twice a second.
    """

    def __init__(self, server: web.Server, context: ServerContext, **options: Any) -> None:
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            keepalive_timeout=context.settings.keep_alive_seconds,
            **options,
        )
        self.context = context
        self._timer: asyncio.TimerHandle | None = None
        self._checked_at = 0.0

    def __call__(self) -> Connection:
        """Return what serves a new connection."""
        return Connection(self, self.context, loop=self._loop, **self._kwargs)

    def __iter__(self) -> Iterator[Connection]:
        return (each for each in self.connections if isinstance(each, Connection))

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def stalled(self) -> int:
        """How many clients are not reading their answers at present."""
        return sum(each.stalled for each in self)

    def start_checking(self) -> None:
        """Check all connections from now on, until `stop_checking`."""
        self._checked_at = self._loop.time()
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check)

    def stop_checking(self) -> None:
        """Check no more."""
        if self._timer is not None:
            self._timer.cancel()

    def unanswered(self) -> list[Connection]:
        """Return those whose client waits for an answer."""
        return [each for each in self if each.unanswered]

    def close_idle(self) -> None:
        """Close what has been idle for so long that no request is likely to be on its way."""
        settled = self._loop.time() - SETTLE_SECONDS
        for each in self:
            if each.idle_since is not None and each.idle_since <= settled:
                each.force_close()

    def refuse_unfinished(self) -> None:
        """Refuse every incomplete request."""
        for each in self:
            each.refuse_unfinished()

    def refuse_unserved(self) -> None:
        """Refuse every request that is being served."""
        for each in self:
            each.refuse_unserved()

    def _check(self) -> None:
        now = self._loop.time()
        # A process that was stopped meanwhile could not read: that is not the clients' fault.
        seconds = min(now - self._checked_at, 2 * CHECK_SECONDS)
        self.start_checking()
        for connection, transport in list(self._connections.items()):
            if isinstance(connection, Connection):
                try:
                    connection.check(seconds, transport)
                except Exception:
                    log.exception("a connection is cut: its time limits could not be checked")
                    transport.abort()


class ConnectionRunner(web.AppRunner):
    """Runs an application behind `Connections`."""

    async def setup(self) -> None:
        """Start the application."""
        await super().setup()
        self.connections.start_checking()

    async def cleanup(self) -> None:
        """Close every connection and end the application."""
        if isinstance(self.server, Connections):
            self.server.stop_checking()
        await super().cleanup()

    @property
    def connections(self) -> Connections:
        """The open connections, once `setup` is done."""
        assert isinstance(self.server, Connections)
        return self.server

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        options = {name: self._kwargs[name] for name in self._kwargs if name not in OF_SERVER}
        context = self.app[SERVER]
        connections = Connections(server, context, **options)
        context.listeners.append(connections)
        return connections
