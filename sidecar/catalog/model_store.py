"""Where archives lie."""

from pathlib import Path
from typing import NamedTuple

from sidecar.catalog.own_archives import (
    ArchiveFacts,
    UnreadableArchive,
    archives_in,
    read_archive,
)


def archive_path(store: Path, key: str, version: str | None = None) -> Path:
    """Return the path of *key*'s archive in the model store, or of another *version* of it.

    This is the name that this program gives to an archive that it builds.
    """
    return store / (f"{key}.mar" if version is None else f"{key}-{version}.mar")


class ArchiveMark(NamedTuple):
    """What changes when an archive is written anew."""

    changed_ns: int
    size: int


def archive_mark(path: Path) -> ArchiveMark | None:
    """Return the mark of the archive or folder *path*; None when there is none."""
    try:
        status = path.stat()
        if not path.is_dir():
            return ArchiveMark(status.st_mtime_ns, status.st_size)
        inside = [file.stat() for file in path.rglob("*")]
    except OSError:
        return None
    newest = max((each.st_mtime_ns for each in inside), default=0)
    return ArchiveMark(max(newest, status.st_mtime_ns), sum(each.st_size for each in inside))


def archive_version(path: Path) -> str | None:
    """Return the model's version in the archive's manifest; None if it is not a whole archive."""
    facts = _facts(path)
    return None if facts is None else facts.version


def find_version(store: Path, key: str, version: str) -> str | None:
    """Return the archive that holds *version* of *key*; None: there is none.

    By its name it is `<key>-<version>.mar` or `<key>.mar`; any other one names the model itself.
    """
    for path in (archive_path(store, key, version), archive_path(store, key)):
        if archive_version(path) == version:
            return path.name
    for path in archives_in(store):
        facts = _facts(path)
        if facts is not None and not facts.ours and (facts.name, facts.version) == (key, version):
            return path.name
    return None


class Stored(NamedTuple):
    """A version of a model, the archive of which lies in the model store."""

    key: str
    version: str


def stored_versions(store: Path) -> frozenset[Stored]:
    """Return every version for which `find_version` may return an archive of *store*."""
    found = set()
    for path in archives_in(store):
        if (facts := _facts(path)) is not None:
            by_name = path.name.removesuffix(".mar").removesuffix(f"-{facts.version}")
            found |= {Stored(name, facts.version) for name in (facts.name, by_name)}
    return frozenset(found)


def _facts(path: Path) -> ArchiveFacts | None:
    try:
        return read_archive(path)
    except UnreadableArchive:
        return None
