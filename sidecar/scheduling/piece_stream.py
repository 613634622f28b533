"""A streamed body on its way from TorchServe to the client."""

import asyncio

from sidecar.errors import EngineUnavailable, SidecarError
from sidecar.scheduling.entry import Pieces
from sidecar.settings import MB

PIECES_AHEAD = 16  # that the client has not taken yet, where it may hold the worker up
BYTES_AHEAD = 16 * MB  # the same, where it may not


class PieceStream(Pieces):
    """An async iterator of a body's pieces.

    A few wait for a client that is slow.  A client that takes none for *seconds* counts as gone.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: asyncio.Queue[bytes | SidecarError | None] = asyncio.Queue()
        self._bytes = 0  # of those that wait
        self._taken = asyncio.Event()
        self._closed = False  # takes no more pieces

    def __aiter__(self) -> "PieceStream":
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece.  Raises EngineUnavailable when the body is cut short."""
        piece = await self._waiting.get()
        self._taken.set()
        if piece is None:
            raise StopAsyncIteration
        if isinstance(piece, SidecarError):
            raise piece
        self._bytes -= len(piece)
        return piece

    async def put(self, piece: bytes) -> None:
        """Add a piece; wait while too many wait already."""
        while self._waiting.qsize() >= PIECES_AHEAD and not self._closed:
            self._taken.clear()
            try:
                async with asyncio.timeout(self._seconds):
                    await self._taken.wait()
            except TimeoutError:
                self._closed = True
        self._add(piece)

    def put_nowait(self, piece: bytes) -> None:
        """Add a piece; a client that is too far behind gets no others, and its body is cut."""
        if self._bytes + len(piece) > BYTES_AHEAD:
            self.cut(EngineUnavailable("the client reads too slowly"))
        self._add(piece)

    def end(self) -> None:
        """Tell the client that this was all, unless it has left."""
        if not self._closed:
            self._closed = True
            self._waiting.put_nowait(None)

    def cut(self, reason: SidecarError) -> None:
        """Tell the client that the rest will not come, unless it has left, or has everything."""
        if not self._closed:
            self._closed = True
            self._waiting.put_nowait(reason)

    def leave(self) -> None:
        """Take no more pieces."""
        self._closed = True
        self._taken.set()
        while not self._waiting.empty():
            self._waiting.get_nowait()

    def _add(self, piece: bytes) -> None:
        if piece and not self._closed:
            self._bytes += len(piece)
            self._waiting.put_nowait(piece)
