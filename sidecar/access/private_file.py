"""Files that only their owner may read: made in one move, refused when others can read them."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecar.settings import SettingsError

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_private(path: Path) -> bytes:
    """What *path* holds.

    Raises FileNotFoundError, or SettingsError when others may read it or we may not.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read()
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise SettingsError(f"{path}: {exc.strerror}") from exc
    if mode & OTHERS:
        raise SettingsError(f"{path}: others can read it; run: chmod 600 {path}")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Puts *data* into *path* (mode 0600), whole or not at all."""
    with _temporary(path, data) as temporary:
        temporary.replace(path)


def create_private(path: Path, data: bytes) -> bool:
    """Like `write_private`, but leaves what is there already; whether *data* was written."""
    with _temporary(path, data) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    return True


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
