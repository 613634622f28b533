"""One file over HTTP: begun where the last attempt ended, checked when it is whole.

The hub's own client does the transfer, with its retries; it deletes what it has when its
process ends, so the partial file is ours.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Protocol, cast

import httpx2
import msgspec
from huggingface_hub import constants, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import logging
from huggingface_hub.utils.tqdm import disable_progress_bars
from msgspec import Meta

from sidecar.downloads.address_guard import AddressGuard, host_of
from sidecar.downloads.messages import DownloadFailed, DownloadInterrupted
from sidecar.settings import MB

ATTEMPTS = 3
CHUNK_BYTES = 1 << 16  # what a cut may lose; the client's own 10 MB are minutes on a slow line
TIMEOUT_SECONDS = 30.0  # for what brings no limit of its own
RANGE_NOT_SATISFIABLE = 416
MAX_REDIRECTS = 10
MAX_ANSWER_MB = 64.0  # of a hub's description of a model
SLOWEST_BYTES_PER_SECOND = 1024
WINDOW_SECONDS = 60.0  # over which the rate is measured
ENCODINGS = ("", "identity", "gzip", "deflate")  # none, if a server does as we ask it


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """One file elsewhere.  *sha256* and *blob_id* (git's name for its content) may be unknown."""

    url: str
    size: Annotated[int, Meta(ge=0)] | None = None
    sha256: Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")] | None = None
    blob_id: Annotated[str, Meta(pattern="^[0-9a-f]{40}$")] | None = None


class ByteCounter(Protocol):
    """What is told of every piece that arrives, and may refuse to take more."""

    def add(self, size: int) -> None:
        """Count *size* more bytes on disk; less than 0: bytes that were thrown away."""


def check_disk(folder: Path, min_free_mb: float, more_bytes: int = 0) -> None:
    """Raise DownloadFailed if *more_bytes* would leave less free than the operator wants."""
    free = shutil.disk_usage(folder).free
    if free - more_bytes < min_free_mb * MB:
        raise DownloadFailed(
            f"the disk is too full: {free / MB:.0f} MB are free, {more_bytes / MB:.0f} MB more "
            f"are needed, and {min_free_mb:g} MB must stay free (SIDECAR_MIN_FREE_DISK_MB)"
        )


def too_large(max_mb: float) -> DownloadFailed:
    """Return the refusal of a model that has more than *max_mb*."""
    return DownloadFailed(
        f"it is larger than the limit of {max_mb:g} MB for one model (SIDECAR_MAX_DOWNLOAD_MB)"
    )


def guard_client(
    guard: AddressGuard,
    ask: Callable[[httpx2.Request], None] = lambda _: None,
    seen: Callable[[httpx2.Response], None] = lambda _: None,
    *,
    max_mb: float = MAX_ANSWER_MB,
    window_seconds: float = WINDOW_SECONDS,
) -> None:
    """Have the hub's client ask *guard* before each request from now on, redirects included.

    *ask* may add headers to each request; *seen* hears of each final answer before its body
    is read.  Both may refuse.  A body is cut off that is larger than *max_mb*, or comes slower
    than the lowest rate over *window_seconds*.
    """
    disable_progress_bars()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # it names whole addresses
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES

    def before(request: httpx2.Request) -> None:
        if constants.is_offline_mode():
            raise OfflineModeIsEnabled("HF_HUB_OFFLINE is set")
        guard.check(str(request.url))
        request.headers["Accept-Encoding"] = "identity"
        ask(request)

    def after(response: httpx2.Response) -> None:
        guard.check_peer(str(response.request.url), response.extensions.get("network_stream"))
        if response.has_redirect_location:
            guard.check(_target_of(response))
            return
        seen(response)
        host = host_of(str(response.request.url))
        encoding = response.headers.get("Content-Encoding", "").lower()
        if encoding not in ENCODINGS:
            raise DownloadFailed(f"{host} answers in the encoding {encoding[:100]!r}")
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Watched(response.stream, host, max_mb, window_seconds)

    hooks: dict[str, list[Callable[..., Any]]] = {"request": [before], "response": [after]}
    set_client_factory(
        lambda: httpx2.Client(
            event_hooks=hooks,
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            timeout=TIMEOUT_SECONDS,
        )
    )


def broken_answer(url: str, exc: httpx2.RequestError) -> DownloadFailed:
    """Return a sentence about an error that is the fault of the host, not of the connection."""
    if isinstance(exc, httpx2.TooManyRedirects):
        return DownloadFailed(
            f"{host_of(url)} redirects in a circle, or more than {MAX_REDIRECTS} times"
        )
    return DownloadFailed(f"{host_of(url)} answers with damaged bytes ({type(exc).__name__})")


def _target_of(response: httpx2.Response) -> str:
    try:
        return str(response.request.url.join(response.headers["Location"]))
    except (httpx2.InvalidURL, ValueError) as exc:
        host = host_of(str(response.request.url))
        raise DownloadFailed(f"{host} redirects to something that is not a web address") from exc


class _Watched(httpx2.SyncByteStream):
    """The body of an answer, bounded in size and in time."""

    def __init__(
        self, stream: httpx2.SyncByteStream, host: str, max_mb: float, window_seconds: float
    ) -> None:
        self._stream = stream
        self._host = host
        self._max_mb = max_mb
        self._window_seconds = window_seconds

    def __iter__(self) -> Iterator[bytes]:
        """Its pieces as they come.  Raises DownloadFailed."""
        total = came = 0
        began = time.monotonic()
        for piece in self._stream:
            total += len(piece)
            came += len(piece)
            if total > self._max_mb * MB:
                raise too_large(self._max_mb)
            yield piece
            passed = time.monotonic() - began
            if passed >= self._window_seconds:
                if came < SLOWEST_BYTES_PER_SECOND * passed:
                    raise DownloadInterrupted(
                        f"{self._host} sends less than {SLOWEST_BYTES_PER_SECOND} bytes a second"
                    )
                came, began = 0, time.monotonic()

    def close(self) -> None:
        self._stream.close()


class Transfer:
    """Fetches files into *folder*; a file that is whole is not fetched again."""

    def __init__(
        self,
        guard: AddressGuard,
        room: ByteCounter,
        *,
        max_mb: float,
        window_seconds: float = WINDOW_SECONDS,
    ) -> None:
        self._guard = guard
        self._room = room
        self._max_mb = max_mb
        self._window_seconds = window_seconds

    def fetch(self, remote: Remote, target: Path, headers: dict[str, str]) -> None:
        """Fetch *remote* to *target*.

        Raises DownloadFailed; what has arrived stays for the next attempt.
        """
        if target.exists():
            if (remote.sha256 or remote.blob_id) and _is_whole(target, remote):
                self._room.add(target.stat().st_size)
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

        guard_client(
            self._guard, ask, seen, max_mb=self._max_mb, window_seconds=self._window_seconds
        )
        for attempt in range(ATTEMPTS):
            try:
                self._get(remote, partial, headers)
                break
            except httpx2.TransportError as exc:
                if attempt == ATTEMPTS - 1:
                    raise DownloadInterrupted(
                        f"{host_of(remote.url)} cannot be reached, or the connection to it breaks "
                        f"again and again ({type(exc).__name__})"
                    ) from exc
            except httpx2.RequestError as exc:
                raise broken_answer(remote.url, exc) from exc
        if not _is_whole(partial.path, remote):
            partial.forget()
            raise DownloadFailed(f"{target.name} is not the file that was promised (wrong hash)")
        partial.become(target)

    def _get(self, remote: Remote, partial: "_Partial", headers: dict[str, str]) -> None:
        """Get the rest, or all of it where the server cannot go on from here."""
        size = partial.size if partial.tag or remote.sha256 or remote.blob_id else 0
        try:
            self._get_from(remote, partial, size, headers)
        except HfHubHTTPError as exc:
            if not size or exc.response.status_code != RANGE_NOT_SATISFIABLE:
                raise
            self._room.add(-size)
            self._get_from(remote, partial, 0, headers)

    def _get_from(
        self, remote: Remote, partial: "_Partial", size: int, headers: dict[str, str]
    ) -> None:
        with partial.path.open("ab" if size else "wb") as file:
            self._room.add(size)
            counted = _Counted(file, self._room, remote.size)
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
                self._room.add(-size - counted.written)
                raise
            except HfHubHTTPError:  # an OSError too
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
        if response.is_success and length > self._max_mb * MB:
            raise too_large(self._max_mb)


class _Counted:
    """A file that tells *room* of what is written: the client needs no more of it than this.

    It takes no more than *size* bytes, if that is known: more can come out of a compressed body.
    """

    def __init__(self, file: BinaryIO, room: ByteCounter, size: int | None) -> None:
        self._file = file
        self._room = room
        self._size = size
        self.written = 0

    def write(self, data: bytes) -> int:
        if self._size is not None and self._file.tell() + len(data) > self._size:
            raise DownloadFailed(
                f"{Path(self._file.name).stem} is not the file that was promised (wrong size)"
            )
        self._count(len(data))
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, place: int) -> int:
        return self._file.seek(place)

    def truncate(self) -> int:
        """Cut the file off: the server sends it from the beginning, so nothing of it counts."""
        place = self._file.tell()
        self._count(place - self._file.seek(0, os.SEEK_END))
        self._file.seek(place)
        return self._file.truncate()

    def _count(self, size: int) -> None:
        self.written += size
        self._room.add(size)


class _Partial:
    """The part of a file that has arrived, and the tag of the version that it belongs to."""

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
        """Keep the answer's tag, if it is one by which a download may go on."""
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
