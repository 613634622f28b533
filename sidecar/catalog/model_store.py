"""Where archives lie."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import msgspec

MANIFEST = "MAR-INF/MANIFEST.json"


def archive_path(store: Path, key: str, version: str | None = None) -> Path:
    """Where *key*'s archive lies in the model store: its own, or that of another *version*."""
    return store / (f"{key}.mar" if version is None else f"{key}-{version}.mar")


class ArchiveMark(NamedTuple):
    """What changes when an archive is written anew."""

    changed_ns: int
    size: int


def archive_mark(store: Path, key: str) -> ArchiveMark | None:
    """Of *key*'s archive; None when there is none."""
    try:
        status = archive_path(store, key).stat()
    except OSError:
        return None
    return ArchiveMark(status.st_mtime_ns, status.st_size)


def archive_version(path: Path) -> str | None:
    """The model's version in the archive's manifest; None for what is no whole archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = msgspec.json.decode(archive.read(MANIFEST), type=_Manifest)
    except (OSError, KeyError, zipfile.BadZipFile, msgspec.DecodeError):
        return None
    return manifest.model.version


def find_version(store: Path, key: str, version: str) -> str | None:
    """The archive that holds *version*: `<key>-<version>.mar` or `<key>.mar`; None: neither."""
    for path in (archive_path(store, key, version), archive_path(store, key)):
        if archive_version(path) == version:
            return path.name
    return None


class _Model(msgspec.Struct):
    version: str = msgspec.field(name="modelVersion")


class _Manifest(msgspec.Struct):
    model: _Model
