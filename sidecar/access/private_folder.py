"""A folder that is its owner's alone, with all that lies in it."""

import os
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private(folder: Path, leave: Collection[Path]) -> None:
    """Make *folder* where it is missing, and take it and its content from every other user.

    What was there already, under whatever umask, is taken in, but for the files *leave*: keys
    that others could read are no secret any more, and refuse the start.  Links are not followed,
    and what belongs to somebody else stays as it is.  Raises OSError when *folder* cannot be
    made.
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
