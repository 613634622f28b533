"""Between those who log and the thread that writes: nobody waits for a disk."""

import copy
import logging
import logging.handlers
import os
import stat
import sys
import time
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from queue import SimpleQueue

from sidecar.telemetry.log_lines import AccessLine
from sidecar.telemetry.request_id import RequestIdFilter

MAX_WAITING = 50_000  # lines; where a disk hangs, more would eat the memory
TELL_SECONDS = 60.0


class LogQueue(logging.handlers.QueueHandler):
    """Takes records to the writing thread.  Those that find no room are counted, and told."""

    queue: "SimpleQueue[logging.LogRecord]"

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        super().__init__(SimpleQueue())
        self.addFilter(RequestIdFilter())
        self._max_waiting = max_waiting
        self._lost = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a record that another thread can format later.

        By then the arguments may have changed, and the frames of a traceback must not be held.
        """
        if isinstance(record.msg, AccessLine):
            return record
        record = copy.copy(record)
        record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue *record* without waiting, or count it as lost."""
        if self.queue.qsize() >= self._max_waiting:
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self.queue.put_nowait(_lost_lines(lost))
        self.queue.put_nowait(record)


class RotatingLog(logging.handlers.RotatingFileHandler):
    """A file that is rotated by size.  When it cannot be written, standard error says so."""

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8")
        self._told = -TELL_SECONDS

    def _open(self) -> TextIOWrapper:
        """Open the file; where a full disk has cut its last line off, end that one first."""
        stream = super()._open()
        try:
            if _ends_within_a_line(self.baseFilename):
                stream.write(self.terminator)
                stream.flush()
        except OSError:
            with suppress(OSError):
                stream.close()
            raise
        return stream

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        """Give the line up; the next one opens the file again."""
        if self.stream is not None:
            with suppress(OSError, ValueError):
                self.stream.close()
            self.stream = None
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            with suppress(OSError, ValueError):
                sys.stderr.write(f"{self.baseFilename} cannot be written: {sys.exception()}\n")


def _ends_within_a_line(path: str) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123 - logging's paths are text
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _lost_lines(count: int) -> logging.LogRecord:
    message = f"{count} lines were lost: they came faster than they could be written"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)
