"""Reads what Java sends in few system calls: TorchServe makes one for each number and each name."""

import socket
from typing import Any

CHUNK_BYTES = 1 << 16


class BufferedConnection:
    """Stands for *connection* towards TorchServe's code that reads from it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._data = b""
        self._at = 0

    @property
    def has_more(self) -> bool:
        """Whether something has come that was not taken yet."""
        return self._at < len(self._data)

    def recv(self, most: int) -> bytes:
        """Return what comes next, *most* bytes of it at most; nothing if it has been closed."""
        if not self.has_more:
            if most >= CHUNK_BYTES:
                return self.connection.recv(most)
            self._data, self._at = self.connection.recv(CHUNK_BYTES), 0
        begin, self._at = self._at, min(self._at + most, len(self._data))
        return self._data[begin : self._at]


_buffered: dict[socket.socket, BufferedConnection] = {}  # the one that a worker has


def buffered(connection: socket.socket) -> BufferedConnection:
    """Return what *connection* is read through."""
    if (known := _buffered.get(connection)) is None:
        known = _buffered[connection] = BufferedConnection(connection)
    return known


def install() -> None:
    """Let TorchServe's worker read in this way."""
    from ts.protocol import otf_message_handler  # noqa: PLC0415 - it imports torch

    retrieve = otf_message_handler.retrieve_msg

    def retrieve_msg(connection: socket.socket) -> Any:
        return retrieve(buffered(connection))

    otf_message_handler.retrieve_msg = retrieve_msg
