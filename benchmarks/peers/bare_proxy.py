"""A proxy that copies bytes and does nothing else: the least that one more hop costs.

    python -m benchmarks.peers.bare_proxy PORT OTHER_PORT

Each connection to PORT gets one of its own to OTHER_PORT of this machine.  It reads no request, so
it keeps no queue, knows no priorities and counts nothing.
"""

import asyncio
import sys
from typing import cast

import uvloop


class _Side(asyncio.Protocol):
    """One of two connections; what it receives is written to the *other* one, once that is made."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: asyncio.Transport | None = None
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def join(self, other: asyncio.Transport) -> None:
        self.other = other
        other.write(self._early)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
        else:
            self.other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if self.other is not None:
            self.other.close()


class _Client(_Side):
    """The client's connection, which makes the one behind it."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        transport, behind = await loop.create_connection(_Side, "127.0.0.1", self._port)
        assert self.transport is not None
        behind.join(self.transport)
        self.join(transport)


async def _serve(port: int, other_port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(other_port), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
