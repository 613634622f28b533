"""Lists, reads and empties the files of the log folder.  Every method may block.

Only regular files directly in this folder are log files.  Links are not followed.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sidecar.errors import InvalidLogName, LogNotFound, exhaustion

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\.log(\.[0-9]{1,4})?")
FIRST_TIME = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z"
)  # UTC, as in the sidecar's lines


class LogStatus(NamedTuple):
    """A log file's name, size in bytes, and when it was last written (epoch seconds)."""

    name: str
    size: int
    modified: float


class LogContent(NamedTuple):
    """What is known after reading a whole file.  *began* is the time of its first line, in UTC."""

    lines: int
    began: str | None


class LogText(NamedTuple):
    """Some lines of a file that has *total_lines* lines and *size* bytes."""

    text: bytes
    total_lines: int
    size: int


class LogFolder:
    """The log files in *folder*: the sidecar's and TorchServe's, including rotated ones.

    Files are read in blocks of *block_bytes*.  No answer has more than *max_bytes*.
    """

    def __init__(self, folder: Path, *, block_bytes: int = 2**16, max_bytes: int = 2**24) -> None:
        self._folder = folder
        self._block_bytes = block_bytes
        self._max_bytes = max_bytes

    def files(self) -> list[LogStatus]:
        """Return all log files, sorted by name; none if the folder does not exist."""
        try:
            entries = sorted(os.scandir(self._folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return []
        found = []
        for entry in entries:
            if NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found.append(LogStatus(entry.name, status.st_size, status.st_mtime))
        return found

    def content(self, name: str) -> LogContent:
        """Count the lines of *name*.  Raises InvalidLogName or LogNotFound."""
        with self._open(name, os.O_RDONLY) as file:
            size = os.fstat(file.fileno()).st_size
            first = FIRST_TIME.search(file.read(128))
            began = f"{first[1].decode()}Z" if first else None
            return LogContent(self._count_lines(file, size), began)

    def read(self, name: str, lines: int, *, from_end: bool) -> LogText:
        """Return *lines* lines of *name*, or as many whole lines as fit into the limit.

        Raises InvalidLogName or LogNotFound.
        """
        with self._open(name, os.O_RDONLY) as file:
            size = os.fstat(file.fileno()).st_size
            text = self._last(file, size, lines) if from_end else self._first(file, size, lines)
            return LogText(text, self._count_lines(file, size), size)

    def empty(self, name: str) -> int:
        """Empty the file *name* and return its former size in bytes.

        Its writers append and so continue at the beginning.  Raises InvalidLogName or LogNotFound.
        """
        with self._open(name, os.O_RDWR) as file:
            size = os.fstat(file.fileno()).st_size
            file.truncate(0)
            return size

    @contextmanager
    def _open(self, name: str, flags: int) -> Iterator[BinaryIO]:
        if not NAME.fullmatch(name):
            raise InvalidLogName("a name like server.log or server.log.1", field="file")
        try:
            # O_NONBLOCK: opening a pipe would block.
            number = os.open(self._folder / name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as exc:
            raise exhaustion(exc) or LogNotFound(str(exc.strerror), field="file") from exc
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise LogNotFound("not a regular file", field="file")
        with os.fdopen(number, "rb" if flags == os.O_RDONLY else "rb+") as file:
            yield file

    def _count_lines(self, file: BinaryIO, size: int) -> int:
        """Count the lines in the first *size* bytes, including an unfinished last one."""
        file.seek(0)
        lines, last, left = 0, b"\n", size
        while left and (block := file.read(min(self._block_bytes, left))):
            lines += block.count(b"\n")
            last = block[-1:]
            left -= len(block)
        return lines + (last != b"\n")

    def _first(self, file: BinaryIO, size: int, lines: int) -> bytes:
        file.seek(0)
        found: list[bytes] = []
        left = min(size, self._max_bytes)
        while left and len(found) < lines and (line := file.readline(left)):
            found.append(line)
            left -= len(line)
        if found and left == 0 and size > self._max_bytes and not found[-1].endswith(b"\n"):
            found.pop()
        return b"".join(found)

    def _last(self, file: BinaryIO, size: int, lines: int) -> bytes:
        blocks: list[bytes] = []
        start, breaks = size, 0
        while start and breaks <= lines and size - start < self._max_bytes:
            end, start = start, max(0, start - self._block_bytes)
            file.seek(start)
            blocks.append(file.read(end - start))
            breaks += blocks[-1].count(b"\n")
        data = b"".join(reversed(blocks))
        if start:
            data = data.partition(b"\n")[2]  # a partial line
        ended = data.endswith(b"\n")  # splitlines would split at \r as well
        kept = data.removesuffix(b"\n").split(b"\n")[-lines:]
        return b"\n".join(kept) + (b"\n" if ended else b"")
