"""A zip, tar or .mar file as a folder of data files.

Only what `file_names.wanted` would take comes out.  A .mar is a zip with a handler in it: its
weights are used, its code never; the model gets a handler of ours.
"""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from sidecar.downloads.file_names import ZIPS, checked_name, wanted
from sidecar.downloads.order import MB, DownloadFailed
from sidecar.downloads.transfer import check_disk

MAX_MEMBERS = 10_000
CHUNK_BYTES = MB
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)


class Member(NamedTuple):
    """One file of an archive; *size* is what the archive says."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, target: Path, min_free_mb: float) -> None:
    """The model's files in *archive* into *target*.  Raises DownloadFailed.

    The model may lie in the archive's top folder or in the only folder there.
    """
    try:
        with _opened(archive) as members:
            files = _below_top(members)
            names = wanted(files)
            check_disk(target, min_free_mb, sum(files[name].size for name in names))
            for name in names:
                _extract(files[name], target / name)
    except (*_DAMAGED, RuntimeError, NotImplementedError) as exc:
        if isinstance(exc, DownloadFailed):
            raise
        raise DownloadFailed(f"{archive.name} is damaged, or of a kind that is not read") from exc


@contextmanager
def _opened(archive: Path) -> Iterator[list[Member]]:
    if archive.name.endswith(ZIPS):
        with zipfile.ZipFile(archive) as content:
            yield [_of_zip(content, info) for info in content.infolist() if not info.is_dir()]
    else:
        with tarfile.open(archive) as tar:
            yield [_of_tar(tar, info) for info in tar if not info.isdir()]


def _of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    if (info.external_attr >> 28) == 0xA:  # the file type of a Unix mode: a symbolic link
        raise DownloadFailed(f"{info.filename} is a link; only files are taken")
    return Member(info.filename, info.file_size, lambda: archive.open(info))


def _of_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    if not info.isfile():
        raise DownloadFailed(f"{info.name} is a link or a device; only files are taken")

    def read() -> IO[bytes]:
        file = archive.extractfile(info)
        assert file is not None
        return file

    return Member(info.name.removeprefix("./"), info.size, read)


def _below_top(members: list[Member]) -> dict[str, Member]:
    """The members by their names in the model's folder."""
    if len(members) > MAX_MEMBERS:
        raise DownloadFailed(f"it holds more than {MAX_MEMBERS} files")
    paths = {checked_name(member.name): member for member in members}
    tops = {path.parts[0] for path in paths}
    if len(tops) == 1 and all(len(path.parts) > 1 for path in paths):
        return {str(PurePosixPath(*path.parts[1:])): member for path, member in paths.items()}
    return {str(path): member for path, member in paths.items()}


def _extract(member: Member, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, CHUNK_BYTES)
        if sink.tell() != member.size:
            raise DownloadFailed(f"{member.name} is not as large as the archive says")
