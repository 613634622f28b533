"""The state folder has one owner at a time: a server holds a lock on it for as long as it lives.

The kernel releases the lock when the process ends, however it ends, so none is ever stale.
`scripts/models` and `scripts/token` do not take it: they work beside a server.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = "owner.lock"
LONGEST_OWNER_BYTES = 300


class StateFolderTaken(RuntimeError):
    """Another server works in the state folder."""


def owner_address(folder: Path) -> str | None:
    """Return where the server that owns *folder* listens, as host:port; None: nobody owns it."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, LONGEST_OWNER_BYTES, 0).decode(errors="replace")
        return owner.partition(" on ")[2] or None
    finally:
        os.close(descriptor)
    return None


@contextmanager
def own_state_folder(folder: Path, address: str) -> Iterator[None]:
    """Own *folder*, created if missing, for the server that listens on *address*.

    Raises StateFolderTaken, which says who owns it, before anything in it is changed; OSError
    where it cannot be locked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner = os.pread(descriptor, LONGEST_OWNER_BYTES, 0).decode(errors="replace")
            raise StateFolderTaken(
                f"the state folder {folder} is in use by another server ({owner or 'starting'}); "
                "stop it, or choose another folder with SIDECAR_STATE_DIR"
            ) from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {address}".encode(), 0)
        yield
    finally:
        os.close(descriptor)  # and with it the lock
