"""A queue between the code that logs and the thread that writes: no request waits for a disk."""

import asyncio
import copy
import logging
import logging.handlers
import os
import stat
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from queue import SimpleQueue

from sidecar.telemetry.log_lines import AccessLine, AccessLines
from sidecar.telemetry.request_id import RequestIdFilter

MAX_WAITING = 50_000  # lines; bounds the memory used while a disk hangs
TELL_SECONDS = 60.0
GATHER_SECONDS = 0.1  # for which access lines are gathered
MAX_GATHERED = 1000  # lines


class LogQueue(logging.handlers.QueueHandler):
    """Passes records to the writing thread.  Lines that do not fit are counted and reported."""

    queue: "SimpleQueue[logging.LogRecord]"

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        super().__init__(SimpleQueue())
        self.addFilter(RequestIdFilter())
        self._max_waiting = max_waiting
        self._sizes: deque[int] = deque()  # lines of each queued record
        self._waiting = 0  # their sum
        self._lost = 0  # since the last report
        self._all_lost = 0
        self.files: Sequence[RotatingLog] = ()  # to which the lines are written

    @property
    def lost(self) -> int:
        """The number of lines that did not fit or could not be written since the start."""
        return self._all_lost + sum(each.lost for each in self.files)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a record that another thread can format later.

        It keeps neither the arguments, which may change, nor the frames of a traceback.
        """
        if isinstance(record.msg, AccessLines):
            return record
        record = copy.copy(record)
        record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue *record* without waiting, or count its lines as lost."""
        size = len(record.msg) if isinstance(record.msg, AccessLines) else 1
        self._forget_written()
        if self._waiting + size > self._max_waiting:
            self._lost += size
            self._all_lost += size
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self._put(_lost_lines(lost), 1)
        self._put(record, size)

    def _put(self, record: logging.LogRecord, size: int) -> None:
        self._sizes.append(size)
        self._waiting += size
        self.queue.put_nowait(record)

    def _forget_written(self) -> None:
        """Stop counting the records that the writing thread has taken, which it does in order."""
        for _ in range(len(self._sizes) - self.queue.qsize()):
            self._waiting -= self._sizes.popleft()


class AccessLog:
    """Gathers access lines for a moment, so that one record carries many.

    A record for each line would cost more than all other logging and counting of a request, and
    would wake the writing thread, which competes for the interpreter lock.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lines = AccessLines()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def enabled(self) -> bool:
        """Whether access lines are logged."""
        return self._logger.isEnabledFor(logging.INFO)

    def add(self, line: AccessLine) -> None:
        """Write *line* soon."""
        self._lines.append(line)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(GATHER_SECONDS, self.flush)
        elif len(self._lines) >= MAX_GATHERED:
            self.flush()

    def flush(self) -> None:
        """Log the gathered lines."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, AccessLines()
        if lines:
            # `info` would look up the calling line, which is always this one.
            name = self._logger.name
            record = logging.LogRecord(name, logging.INFO, __file__, 0, lines, None, None)
            self._logger.handle(record)


class RotatingLog(logging.handlers.RotatingFileHandler):
    """A file that is rotated by size.  A failure to write is reported on standard error."""

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8")
        self._told = -TELL_SECONDS
        self.lost = 0  # lines that could not be written

    def _open(self) -> TextIOWrapper:
        """Open the file.  If a full disk has truncated its last line, end that line."""
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

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*.  The file may be rotated between two of its access lines.

        The method of `logging` formats each record twice, the first time for its length.
        """
        try:
            if self.stream is None:
                self.stream = self._open()
            text = self.format(record)
            full = self._is_filled_by(text, self.stream)
            several = full and isinstance(record.msg, AccessLines)
            for line in text.split("\n") if several else (text,):
                if full and self._is_filled_by(line, self.stream):
                    self.doRollover()
                self.stream.write(line + self.terminator)
            self.flush()
        except Exception:  # noqa: BLE001 - logging must never stop the server
            self.handleError(record)

    def _is_filled_by(self, text: str, stream: TextIOWrapper) -> bool:
        if self.maxBytes <= 0 or not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return False
        stream.seek(0, os.SEEK_END)
        return stream.tell() + len(text.encode(errors="replace")) + 1 >= self.maxBytes

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Drop the line.  The next one opens the file again."""
        self.lost += len(record.msg) if isinstance(record.msg, AccessLines) else 1
        if self.stream is not None:
            with suppress(OSError, ValueError):
                self.stream.close()
            self.stream = None
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            with suppress(OSError, ValueError):
                sys.stderr.write(f"{self.baseFilename} cannot be written: {sys.exception()}\n")


def lost_lines() -> int:
    """Return the number of lines that this process could not write to its logs."""
    handlers = logging.getLogger().handlers
    return sum(each.lost for each in handlers if isinstance(each, LogQueue))


def _ends_within_a_line(path: str) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123 - logging's paths are text
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _lost_lines(count: int) -> logging.LogRecord:
    message = f"{count} lines were lost: they were logged faster than they could be written"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)
