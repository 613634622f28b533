"""Files that outlive the program: written whole or not at all, and read record by record.

Nothing else in the sidecar writes a file that must outlive it.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

log = logging.getLogger(__name__)

Value = TypeVar("Value")

UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what bytes can raise


def decoded_record(data: bytes | msgspec.Raw, kind: type[Value], where: str) -> Value | None:
    """Return the JSON *data* as *kind*; None, with a line in the log, when it is something else.

    When a file is read record by record, a bad record does not affect the others.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except UNDECODABLE as exc:
        log.warning("%s: left out, it cannot be read: %s", where, exc)
        return None


def write_whole(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put *data* into *path*, in place of what is there; it is on the disk then.

    Raises OSError that names *path*; then *path* is as it was, and no other file is left behind.
    """
    with _temporary(path, data) as temporary:
        temporary.chmod(mode)
        temporary.replace(path)


def create_whole(path: Path, data: bytes) -> bool:
    """Do what `write_whole` does, but keep an existing file; return whether *data* was written."""
    with _temporary(path, data) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    return True


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    """Yield a file of *data* beside *path*; wherever the block moves it, it is then on the disk."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
        _sync_folder(path.parent)
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, str(path)) from exc
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
