"""One file over HTTP: begun where the last attempt ended, checked when it is whole.

The hub's own client does the transfer, with its retries; it deletes what it has when its
process ends, so the partial file is ours.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import httpx2
import msgspec
from huggingface_hub import constants, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import logging
from huggingface_hub.utils.tqdm import disable_progress_bars

from sidecar.downloads.address_guard import AddressGuard, host_of
from sidecar.downloads.order import MB, DownloadFailed

ATTEMPTS = 3
CHUNK_BYTES = 1 << 16  # what a cut may lose; the client's own 10 MB are minutes on a slow line
TIMEOUT_SECONDS = 30.0  # for what brings no limit of its own
RANGE_NOT_SATISFIABLE = 416


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """One file elsewhere.  *sha256* and *blob_id* (git's name for its content) may be unknown."""

    url: str
    size: int | None = None
    sha256: str | None = None
    blob_id: str | None = None


class Room(Protocol):
    """What is told of every piece that arrives, and may refuse to take more."""

    def took(self, size: int) -> None:
        """*size* more bytes are on disk; less than 0: they were thrown away."""


def check_disk(folder: Path, min_free_mb: float, more_bytes: int = 0) -> None:
    """Raises DownloadFailed when *more_bytes* would leave less than the operator wants free."""
    free = shutil.disk_usage(folder).free
    if free - more_bytes < min_free_mb * MB:
        raise DownloadFailed(
            f"the disk is too full: {free / MB:.0f} MB are free, {more_bytes / MB:.0f} MB more "
            f"are needed, and {min_free_mb:g} MB must stay free (SIDECAR_MIN_FREE_DISK_MB)"
        )


def guard_client(
    guard: AddressGuard,
    ask: Callable[[httpx2.Request], None] = lambda _: None,
    seen: Callable[[httpx2.Response], None] = lambda _: None,
) -> None:
    """From now on the hub's client asks *guard* before each request, also a redirect's.

    *ask* may add headers to each request; *seen* hears of each final answer before its body
    is read.  Both may refuse.
    """
    disable_progress_bars()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # it names whole addresses
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES

    def before(request: httpx2.Request) -> None:
        if constants.is_offline_mode():
            raise OfflineModeIsEnabled("HF_HUB_OFFLINE is set")
        guard.check(str(request.url))
        ask(request)

    def after(response: httpx2.Response) -> None:
        guard.check_peer(str(response.request.url), response.extensions.get("network_stream"))
        if not response.has_redirect_location:
            seen(response)

    hooks: dict[str, list[Callable[..., Any]]] = {"request": [before], "response": [after]}
    set_client_factory(
        lambda: httpx2.Client(event_hooks=hooks, follow_redirects=True, timeout=TIMEOUT_SECONDS)
    )


class Transfer:
    """Fetches files into *folder*; a file that is whole is not fetched again."""

    def __init__(self, guard: AddressGuard, room: Room, *, max_bytes: int | None = None) -> None:
        self._guard = guard
        self._room = room
        self._max_bytes = max_bytes

    def fetch(self, remote: Remote, target: Path, headers: dict[str, str]) -> None:
        """Raises DownloadFailed; what has arrived stays for the next attempt."""
        if target.exists():
            if (remote.sha256 or remote.blob_id) and _is_whole(target, remote):
                self._room.took(target.stat().st_size)
                return
            target.unlink()  # another file of that name, or nobody can tell
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = _Partial(target)

        def ask(request: httpx2.Request) -> None:
            if "Range" in request.headers and (tag := partial.tag):
                request.headers["If-Range"] = tag

        def seen(response: httpx2.Response) -> None:
            self._refuse_large(response)
            partial.remember(response)

        guard_client(self._guard, ask, seen)
        for attempt in range(ATTEMPTS):
            try:
                self._get(remote, partial, headers)
                break
            except httpx2.TransportError as exc:
                if attempt == ATTEMPTS - 1:
                    raise DownloadFailed(
                        f"{host_of(remote.url)} cannot be reached, or the connection to it breaks "
                        f"again and again ({type(exc).__name__})"
                    ) from exc
        if not _is_whole(partial.path, remote):
            partial.forget()
            raise DownloadFailed(f"{target.name} is not the file that was promised (wrong hash)")
        partial.become(target)

    def _get(self, remote: Remote, partial: "_Partial", headers: dict[str, str]) -> None:
        """Once more from the beginning where the server cannot go on from here."""
        size = partial.size if partial.tag or remote.sha256 or remote.blob_id else 0
        try:
            self._get_from(remote, partial, size, headers)
        except HfHubHTTPError as exc:
            if not size or exc.response.status_code != RANGE_NOT_SATISFIABLE:
                raise
            self._room.took(-size)
            self._get_from(remote, partial, 0, headers)

    def _get_from(
        self, remote: Remote, partial: "_Partial", size: int, headers: dict[str, str]
    ) -> None:
        with partial.path.open("ab" if size else "wb") as file:
            self._room.took(size)
            counted = _Counted(file, self._room)
            try:
                http_get(
                    remote.url,
                    cast("BinaryIO", counted),
                    resume_size=size,
                    headers={"Accept-Encoding": "identity", **headers},
                    expected_size=remote.size,
                )
            except httpx2.TransportError:
                # The next attempt counts them again.
                self._room.took(-size - counted.written)
                raise
            except OSError as exc:
                if exc.errno is not None:
                    raise
                partial.forget()  # the client's own error: it is longer or shorter than it said
                raise DownloadFailed(
                    f"{partial.name} is not the file that was promised (wrong size)"
                ) from exc

    def _refuse_large(self, response: httpx2.Response) -> None:
        length = int(response.headers.get("Content-Length", 0))
        if self._max_bytes is not None and response.is_success and length > self._max_bytes:
            raise DownloadFailed(
                f"it is larger than the limit of {self._max_bytes / MB:.0f} MB for this download"
            )


class _Counted:
    """A file that tells *room* of what is written: the client needs no more of it than this."""

    def __init__(self, file: BinaryIO, room: Room) -> None:
        self._file = file
        self._room = room
        self.written = 0

    def write(self, data: bytes) -> int:
        self._count(len(data))
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, place: int) -> int:
        return self._file.seek(place)

    def truncate(self) -> int:
        """The server began anew: what was there does not count any more."""
        place = self._file.tell()
        self._count(place - self._file.seek(0, os.SEEK_END))
        self._file.seek(place)
        return self._file.truncate()

    def _count(self, size: int) -> None:
        self.written += size
        self._room.took(size)


class _Partial:
    """What has arrived of a file, and the server's name for this version of it."""

    def __init__(self, target: Path) -> None:
        self.name = target.name
        self.path = target.with_name(f"{target.name}.partial")
        self._tag_file = target.with_name(f"{target.name}.etag")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def tag(self) -> str:
        return self._tag_file.read_text() if self._tag_file.exists() else ""

    def remember(self, response: httpx2.Response) -> None:
        """Keeps the answer's tag, if it is one by which a download may go on."""
        tag = response.headers.get("ETag", "")
        if response.is_success and tag.startswith('"'):
            self._tag_file.write_text(tag)

    def become(self, target: Path) -> None:
        self.path.replace(target)
        self._tag_file.unlink(missing_ok=True)

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._tag_file.unlink(missing_ok=True)


def _is_whole(path: Path, remote: Remote) -> bool:
    with path.open("rb") as file:
        if remote.sha256 is not None:
            return hashlib.file_digest(file, "sha256").hexdigest() == remote.sha256.lower()
        if remote.blob_id is not None:
            digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
            while piece := file.read(MB):
                digest.update(piece)
            return digest.hexdigest() == remote.blob_id
    return True
