"""A queue between the code that logs and the thread that writes: nobody waits for a disk."""

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

MAX_WAITING = 50_000  # lines; where a disk hangs, more would eat the memory
TELL_SECONDS = 60.0
GATHER_SECONDS = 0.1  # for which an access line waits for others
MAX_GATHERED = 1000  # lines


class LogQueue(logging.handlers.QueueHandler):
    """Takes records to the writing thread.  Lines that find no room are counted and reported."""

    queue: "SimpleQueue[logging.LogRecord]"

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        super().__init__(SimpleQueue())
        self.addFilter(RequestIdFilter())
        self._max_waiting = max_waiting
        self._sizes: deque[int] = deque()  # lines of each record that was queued
        self._waiting = 0  # lines of all of them
        self._lost = 0  # since it was told last
        self._all_lost = 0
        self.files: Sequence[RotatingLog] = ()  # that the lines are written to

    @property
    def lost(self) -> int:
        """How many lines found no room here, or could not be written, since the start."""
        return self._all_lost + sum(each.lost for each in self.files)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a record that another thread can format later.

        By then the arguments may have changed, and the frames of a traceback must not be held.
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
        """Count no more what the writing thread has taken, which it does in order."""
        for _ in range(len(self._sizes) - self.queue.qsize()):
            self._waiting -= self._sizes.popleft()


class AccessLog:
    """Gathers the lines of requests for a moment, so that one record carries many.

    A record of its own for each would cost a request more than all else that is logged or counted
    for it, and would wake the writing thread, which then wants the interpreter too.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lines = AccessLines()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def enabled(self) -> bool:
        """Whether lines are wanted at all."""
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
        """Pass on what was gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, AccessLines()
        if lines:
            # Not `info`, which would look up the calling line: it is always this one.
            name = self._logger.name
            record = logging.LogRecord(name, logging.INFO, __file__, 0, lines, None, None)
            self._logger.handle(record)


class RotatingLog(logging.handlers.RotatingFileHandler):
    """A file that is rotated by size.  When it cannot be written, standard error says so."""

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8")
        self._told = -TELL_SECONDS
        self.lost = 0  # lines that could not be written

    def _open(self) -> TextIOWrapper:
        """Open the file; if a full disk has cut off its last line, end that line first."""
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
        """Write *record*; access lines go to the next file one by one where this one gets full.

        logging's own method formats each record twice, the first time to learn its length.
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
        except Exception:  # noqa: BLE001 - whatever it is, the server goes on
            self.handleError(record)

    def _is_filled_by(self, text: str, stream: TextIOWrapper) -> bool:
        if self.maxBytes <= 0 or not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return False
        stream.seek(0, os.SEEK_END)
        return stream.tell() + len(text.encode(errors="replace")) + 1 >= self.maxBytes

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Drop the line; the next one opens the file again."""
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
    """Return how many lines of this process could not be written to its logs."""
    handlers = logging.getLogger().handlers
    return sum(each.lost for each in handlers if isinstance(each, LogQueue))


def _ends_within_a_line(path: str) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123 - logging's paths are text
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _lost_lines(count: int) -> logging.LogRecord:
    message = f"{count} lines were lost: they came faster than they could be written"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)
