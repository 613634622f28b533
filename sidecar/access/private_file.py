"""Files that only their owner may read: refused when others can read them."""

import os
import stat
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
