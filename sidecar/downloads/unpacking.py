"""A zip, tar or .mar file as a folder of data files.

Only what `file_names.wanted` accepts comes out.  A .mar is a zip with a handler in it: its weights
are used, its code never; the model gets a handler of ours.

The unpacked size is bounded twice: by what the archive states before it is unpacked, and by what
comes out while it is, since it may lie.
"""

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from sidecar.downloads.file_names import ZIPS, checked_name, wanted
from sidecar.downloads.messages import DownloadFailed
from sidecar.downloads.transfer import check_disk
from sidecar.settings import MB

MAX_MEMBERS = 10_000
MAX_RATIO = 20  # bytes unpacked for each byte packed; weights shrink to a half at best
FREE_BYTES = 64 * MB  # that any archive may unpack to, however small it is
MAX_HEADER_BYTES = 1 << 16  # of one member's extended tar header, which is read whole
MAX_DIRECTORY_BYTES = 4 * MB  # of a zip's table of contents, which is read whole
CHUNK_BYTES = MB
DISK_CHECK_BYTES = 16 * MB
_COMPRESSED: Mapping[str, Any] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_LARGE_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_DAMAGED = (  # what the libraries raise for bytes that are not an archive
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    OverflowError,
    IndexError,
    KeyError,
)


class Member(NamedTuple):
    """One file of an archive; *size* is what the archive says."""

    name: str
    size: int


Contents = Iterator[tuple[Member, Callable[[], IO[bytes]]]]


def unpack(archive: Path, target: Path, min_free_mb: float, max_mb: float) -> None:
    """Put the model's files in *archive* into *target*.  Raises DownloadFailed.

    The model may lie in the archive's top folder or in the only folder there.  *max_mb* is the
    most that comes out of it.
    """
    limit = min(int(max_mb * MB), max(FREE_BYTES, MAX_RATIO * archive.stat().st_size))
    try:
        with _opened(archive, limit) as contents:
            files = _below_top(member for member, _ in contents)
        names = set(wanted(files))
        size = sum(files[name].size for name in names)
        if size > limit:
            raise _too_much(limit)
        check_disk(target, min_free_mb, size)
        places = {files[name].name: target / name for name in names}
        with _opened(archive, limit) as contents:
            for member, read in contents:
                if member.name in places:
                    _extract(member, read, places[member.name], min_free_mb)
    except DownloadFailed:
        raise
    except _DAMAGED as exc:
        raise DownloadFailed(f"{archive.name} is damaged, or of a kind that is not read") from exc
    except OSError as exc:
        if exc.errno is not None:  # the disk's
            raise
        raise DownloadFailed(f"{archive.name} is damaged, or of a kind that is not read") from exc


@contextmanager
def _opened(archive: Path, limit: int) -> Iterator[Contents]:
    """Open *archive* to be gone through once, in its own order."""
    if archive.name.endswith(ZIPS):
        _check_directory(archive)
        with zipfile.ZipFile(archive) as content:
            yield _of_zip(content)
        return
    opening: Any = _COMPRESSED.get(archive.suffix, Path.open)
    with (
        opening(archive, "rb") as packed,
        tarfile.open(fileobj=_Bounded(packed, limit), mode="r|", tarinfo=_Header) as tar,
    ):
        yield _of_tar(tar)


def _of_zip(archive: zipfile.ZipFile) -> Contents:
    for info in archive.infolist():
        if (info.external_attr >> 28) == 0xA:  # the file type of a Unix mode: a symbolic link
            raise DownloadFailed(f"{info.filename[:100]!r} is a link; only files are taken")
        if not info.is_dir():
            yield Member(info.filename, info.file_size), partial(archive.open, info)


def _of_tar(archive: tarfile.TarFile) -> Contents:
    for info in archive:
        if not info.isfile() and not info.isdir():
            raise DownloadFailed(f"{info.name[:100]!r} is a link or a device; only files are taken")
        if info.issparse() or info.size < 0:
            raise DownloadFailed(f"{info.name[:100]!r} is a sparse file, which is not read")
        if not info.isdir():
            name = info.name.removeprefix("./")
            yield Member(name, info.size), partial(_content, archive, info)


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    assert file is not None
    return file


def _below_top(members: Iterable[Member]) -> dict[str, Member]:
    """Return the members by their names in the model's folder."""
    paths: dict[PurePosixPath, Member] = {}
    for member in members:
        if len(paths) == MAX_MEMBERS:
            raise DownloadFailed(f"it holds more than {MAX_MEMBERS} files")
        path = checked_name(member.name)
        if path in paths:
            raise DownloadFailed(f"it holds the file {member.name[:100]!r} twice")
        paths[path] = member
    tops = {path.parts[0] for path in paths}
    if len(tops) == 1 and all(len(path.parts) > 1 for path in paths):
        return {str(PurePosixPath(*path.parts[1:])): member for path, member in paths.items()}
    return {str(path): member for path, member in paths.items()}


def _check_directory(archive: Path) -> None:
    """Raise DownloadFailed for a zip whose table of contents is too large to be read."""
    with archive.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - (1 << 16) - 128, 0))
        tail = file.read()
    start = tail.find(b"PK\x05\x06")
    while start >= 0:
        end = tail[start : start + 22]
        large = tail[max(start - 76, 0) : start]  # the zip64 record, if there is one
        said = struct.unpack("<I", end[12:16])[0] if len(end) == 22 else 0
        if large.startswith(b"PK\x06\x06"):
            said = struct.unpack("<Q", large[40:48])[0]
        if said > MAX_DIRECTORY_BYTES and said != 0xFFFFFFFF:
            raise DownloadFailed(f"it holds more than {MAX_MEMBERS} files")
        start = tail.find(b"PK\x05\x06", start + 1)


class _Header(tarfile.TarInfo):
    """A tar header that refuses extensions which tarfile would read whole into memory."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        """As its parent, which says that subclasses may override it.  Raises DownloadFailed.

        `frombuf` would not do: some versions of Python call another method in its place.
        """
        if self.type in _LARGE_HEADERS and not 0 <= self.size <= MAX_HEADER_BYTES:
            raise DownloadFailed("one of its files has a name, or a header, that is too long")
        member: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]  # not in its stub
        return member


class _Bounded(io.RawIOBase):
    """A file that refuses to be read beyond *limit* bytes."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        super().__init__()
        self._file = file
        self._limit = limit
        self._left = limit

    def read(self, size: int = -1) -> bytes:
        """As its parent.  Raises DownloadFailed."""
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _too_much(self._limit)
        return data


def _extract(
    member: Member, read: Callable[[], IO[bytes]], target: Path, min_free_mb: float
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    written = unchecked = 0
    with read() as source, target.open("wb") as sink:
        while piece := source.read(CHUNK_BYTES):
            written += len(piece)
            unchecked += len(piece)
            if written > member.size:
                break
            if unchecked >= DISK_CHECK_BYTES:
                unchecked = 0
                check_disk(target.parent, min_free_mb)
            sink.write(piece)
    if written != member.size:
        raise DownloadFailed(f"{member.name} is not as large as the archive says")


def _too_much(limit: int) -> DownloadFailed:
    return DownloadFailed(
        f"unpacked it would have more than {limit / MB:.0f} MB: the limit is {MAX_RATIO} times "
        f"its size, {FREE_BYTES / MB:.0f} MB at least, and SIDECAR_MAX_DOWNLOAD_MB at most"
    )
