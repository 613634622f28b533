"""What downloads leave below `<state_dir>/downloads`, and when it goes.

Each download has a folder of its model's name.  What has arrived is kept there after a cut, a
cancel or a stop, for the next try; what was unpacked of it never is.
"""

import logging
import shutil
from collections.abc import Collection
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

WHOLE = "whole"  # the files as they will lie in the models' folder
CONVERTED = "converted"
LOCK_SUFFIX = ".lock"


def lock_of(folder: Path) -> FileLock:
    """Return the lock that whoever works in *folder* holds; it is beside it, and never waits."""
    return FileLock(folder.with_suffix(LOCK_SUFFIX), timeout=0)


def clear_unpacked(folder: Path) -> None:
    """Keep in *folder* what a next try can go on with, and nothing else."""
    shutil.rmtree(folder / WHOLE, ignore_errors=True)
    shutil.rmtree(folder / CONVERTED, ignore_errors=True)
    if not any(path.is_file() for path in folder.rglob("*")):
        shutil.rmtree(folder, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Do `clear_unpacked`, unless another program works in *folder*."""
    if not folder.exists():
        return
    try:
        with lock_of(folder):
            clear_unpacked(folder)
            if not folder.exists():
                folder.with_suffix(LOCK_SUFFIX).unlink(missing_ok=True)
    except Timeout:
        return


def clear(folder: Path) -> bool:
    """Remove *folder* and its lock; return whether it was there.

    Nothing is removed while another program works in it.
    """
    was_there = folder.exists()
    if not folder.parent.is_dir():
        return False
    try:
        with lock_of(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(LOCK_SUFFIX).unlink(missing_ok=True)
    except Timeout:
        return False
    return was_there


def sweep(base: Path, owned: Collection[str]) -> None:
    """Remove all in *base* that is not the folder of one of *owned*, and what was unpacked there.

    What another program works on stays.
    """
    for path in sorted(base.glob("*")):
        if path.is_symlink() or not path.is_dir():
            if path.suffix != LOCK_SUFFIX:
                path.unlink(missing_ok=True)
            elif not path.with_suffix("").exists():
                clear(path.with_suffix(""))
        elif path.name in owned:
            tidy(path)
        elif clear(path):
            log.info("%s: removed, no download goes on with it", path)
