"""Parts of answers that are sent while the rest is still being computed.

They are TorchServe's intermediate answers, sent before the answer to the job.  Each is a frame:
``\\x00PCE``, the length of what follows as an unsigned 32-bit big-endian number, and a list of
`TextPiece` as JSON.  `sidecar.scheduling.writing_runner` reads them.
"""

import struct
from typing import Any

import msgspec
from ts.handler_utils.utils import send_intermediate_predict_response

from handler_kit.job import CONTENT_TYPE

MAGIC = b"\x00PCE"
_PREFIX = struct.Struct(">4sI")
_encode = msgspec.json.Encoder().encode


class TextPiece(msgspec.Struct, frozen=True, array_like=True):
    """The next part of the text that answers the item *id*, after *at* characters.

    *answer* is the item's whole answer, if it is complete before the job is.
    """

    id: str
    at: int
    text: str
    answer: Any = None


class PieceSender:
    """Gathers pieces of a job's answers, and sends those of a step together."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._pieces: list[TextPiece] = []

    def add(self, piece: TextPiece) -> None:
        """Add *piece* to the next `send`."""
        self._pieces.append(piece)

    def send(self) -> None:
        """Send the pieces added since the last call, if there are any."""
        if not self._pieces:
            return
        frame = _encode(self._pieces)
        self._pieces.clear()
        self._context.set_response_content_type(0, CONTENT_TYPE)
        send_intermediate_predict_response(
            [_PREFIX.pack(MAGIC, len(frame)) + frame],
            self._context.request_ids,
            "Intermediate",
            200,
            self._context,
        )
