"""Files that only their owner may read: made in one move, refused when others can read them."""

import os
import stat
import tempfile
from pathlib import Path

from sidecar.settings import SettingsError

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_private(path: Path) -> bytes:
    """What *path* holds.  Raises SettingsError when others may read it, OSError as open does."""
    data = path.read_bytes()
    if path.stat().st_mode & OTHERS:
        raise SettingsError(f"{path}: others can read it; run: chmod 600 {path}")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Puts *data* into *path* (mode 0600), whole or not at all."""
    temporary = _temporary(path, data)
    temporary.replace(path)


def create_private(path: Path, data: bytes) -> bool:
    """Like `write_private`, but leaves what is there already; whether *data* was written."""
    temporary = _temporary(path, data)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _temporary(path: Path, data: bytes) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)
