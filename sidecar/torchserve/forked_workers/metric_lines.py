"""Metrics are told to Java by printed lines: they are gathered, and written together.

Each line wakes a thread of Java's, and TorchServe writes two of its own for every batch before it
sends the answer.  Here they wait until the answer has left, for a tenth of a second at most; then
one write tells of all of them.  Every other line is written at once.
"""

import logging
import select
import socket
import sys
import time
from typing import Any

from .buffered_reading import buffered  # noqa: TID252 - the worker finds this folder alone

HOLD_SECONDS = 0.1
METRIC = "[METRICS]"
OF_EACH_BATCH = "Backend received inference at"  # says nothing that the metrics do not say


class MetricLines(logging.StreamHandler[Any]):
    """Writes log lines as TorchServe's worker does, but gathers those that tell of metrics."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self.setFormatter(logging.Formatter("%(message)s"))
        self._held: list[logging.LogRecord] = []
        self._until = 0.0  # when those that are held are to be written

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*, or keep it for a moment."""
        message = record.msg
        if not isinstance(message, str) or not message.startswith((METRIC, OF_EACH_BATCH)):
            super().emit(record)
        elif message.startswith(METRIC):
            now = time.monotonic()
            if not self._held:
                self._until = now + HOLD_SECONDS
            self._held.append(record)
            if now >= self._until:  # a batch that takes long
                self.write_held()

    def write_held(self) -> None:
        """Write the lines that are held."""
        self.acquire()
        try:
            held, self._held = self._held, []
            if held:
                lines = map(self.format, held)
                self.stream.write("".join(f"{line}{self.terminator}" for line in lines))
                self.flush()
        finally:
            self.release()

    def write_when_due(self, connection: socket.socket) -> None:
        """Write the lines that are held, once it is time, or nothing comes over *connection*."""
        if not self._held:
            return
        left = self._until - time.monotonic()
        if left > 0 and (buffered(connection).has_more or _can_be_read(connection, left)):
            return
        self.write_held()


def _can_be_read(connection: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


lines = MetricLines()


def install() -> None:
    """Let TorchServe's worker write its lines in this way."""
    from ts.protocol import otf_message_handler  # noqa: PLC0415 - it imports torch

    logging.basicConfig(handlers=[lines], level=logging.INFO)  # the program's own then does nothing
    retrieve = otf_message_handler.retrieve_msg

    def retrieve_msg(connection: socket.socket) -> Any:
        lines.write_when_due(connection)
        return retrieve(connection)

    otf_message_handler.retrieve_msg = retrieve_msg
