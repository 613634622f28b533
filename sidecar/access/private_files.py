"""Files and folders that only their owner may read."""

import os
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from sidecar.settings import SettingsError

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_private(path: Path) -> bytes:
    """Return the content of *path*.

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


def make_private(folder: Path, leave: Collection[Path]) -> None:
    """Make *folder* if it is missing, and deny every other user access to it and its content.

    The files named by *leave* keep their modes: keys that others could read are no longer secret,
    and must stop the start.  Links are not followed, and what belongs to another user stays as it
    is.  Raises OSError when *folder* cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close(folder)
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path not in leave:
                with suppress(FileNotFoundError):  # another program of ours cleans up meanwhile
                    _close(path)


def _close(path: Path) -> None:
    status = path.lstat()
    is_link, is_ours = stat.S_ISLNK(status.st_mode), status.st_uid == os.geteuid()
    if is_ours and not is_link and status.st_mode & OTHERS:
        path.chmod(stat.S_IMODE(status.st_mode) & ~OTHERS)
