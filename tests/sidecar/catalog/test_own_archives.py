"""What archives with custom handlers say of themselves, and which of them are offered."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.catalog.catalog import Catalog, load_catalog, parse_specs
from sidecar.catalog.entries import CatalogError
from sidecar.catalog.model_store import archive_mark, find_version
from sidecar.catalog.own_archives import (
    MAX_BYTES,
    UnreadableArchive,
    find_archives,
    read_archive,
    version_order,
)

CONFIG = {
    "batchSize": 4,
    "maxBatchDelay": 30,
    "minWorkers": 2,
    "maxWorkers": 3,
    "continuousBatching": True,
    "responseTimeout": 9,
    "mine": {"deviceType": "odd"},
}


def files(
    name: str = "mine", version: str = "1.0", config: Any = None, **more: bytes
) -> dict[str, bytes]:
    model = {"modelName": name, "modelVersion": version, "handler": "handler.py"}
    found = {"handler.py": b"", **{key.replace("__", "."): each for key, each in more.items()}}
    if config is not None:
        model["configFile"] = "model-config.yaml"
        found["model-config.yaml"] = (
            config if isinstance(config, bytes) else yaml.safe_dump(config).encode()
        )
    manifest = {"runtime": "python", "archiverVersion": "0.12.0", "model": model}
    return found | {"MAR-INF/MANIFEST.json": json.dumps(manifest).encode()}


def as_mar(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def as_tar(path: Path, content: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(f"folder/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def as_folder(path: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def as_folder_in_a_folder(path: Path, content: dict[str, bytes]) -> None:
    as_folder(path / "inside", content)


FORMS = {
    "mine.mar": as_mar,
    "mine.tar.gz": as_tar,
    "mine.tgz": as_tar,
    "mine": as_folder,
    "mine2": as_folder_in_a_folder,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_read(tmp_path: Path, name: str) -> None:
    FORMS[name](tmp_path / name, files(version="2.1", config=CONFIG))
    facts = read_archive(tmp_path / name)
    assert (facts.name, facts.version, facts.settings) == ("mine", "2.1", CONFIG)
    (spec,) = find_archives(tmp_path, {}).specs.values()
    assert spec.archive == name
    inference = spec.inference
    assert (inference.batch_size, inference.batch_delay_ms) == (4, 30)
    assert inference.continuous_batching
    assert (inference.workers.min, inference.workers.max) == (2, 3)
    assert (inference.job_timeout_seconds, inference.startup_timeout_seconds) == (9, 120)


@pytest.mark.parametrize(
    "config", [b"a: [", b"- 1", b"", b"batchSize: many", b"batchSize: 0\nminWorkers: -1"]
)
def test_settings_that_are_none_leave_torchserves_defaults(tmp_path: Path, config: bytes) -> None:
    as_mar(tmp_path / "mine.mar", files(config=config))
    inference = find_archives(tmp_path, {}).specs["mine"].inference
    assert (inference.batch_size, inference.batch_delay_ms) == (1, 100)
    assert (inference.workers.min, inference.workers.max) == (1, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 and then nothing",
        files(config=b"x" * (MAX_BYTES + 1)),
        {"MAR-INF/MANIFEST.json": b"{"},
        {"handler.py": b""},
    ],
)
def test_a_file_that_is_not_an_archive_is_reported_and_skipped(
    tmp_path: Path, content: bytes | dict[str, bytes]
) -> None:
    if isinstance(content, bytes):
        (tmp_path / "bad.mar").write_bytes(content)
    else:
        as_mar(tmp_path / "bad.mar", content)
    as_mar(tmp_path / "good.mar", files("good"))
    with pytest.raises(UnreadableArchive):
        read_archive(tmp_path / "bad.mar")
    found = find_archives(tmp_path, {})
    assert set(found.specs) == {"good"}
    assert found.left_out[0].startswith("bad.mar: ")


def test_archives_that_this_program_built_are_never_offered(tmp_path: Path) -> None:
    as_mar(tmp_path / "built.mar", files("built", build__json=b"{}"))
    assert find_archives(tmp_path, {}) == ({}, [])


def test_another_version_of_an_entry_is_no_model_of_its_own(tmp_path: Path) -> None:
    specs = parse_specs(b'{"models": {"mine": {"handler": "own"}}}', "models.json")
    as_mar(tmp_path / "mine-2.mar", files("mine", version="2.0"))
    assert find_archives(tmp_path, specs) == ({}, [])


@pytest.mark.parametrize("name", ["tokenizer", "a/b", "..", "Taken"])
def test_a_name_that_cannot_be_had_is_told(tmp_path: Path, name: str) -> None:
    specs = parse_specs(b'{"models": {"taken": {"handler": "own"}}}', "models.json")
    as_mar(tmp_path / "mine.mar", files(name))
    found = find_archives(tmp_path, specs)
    assert not found.specs
    assert "mine.mar" in found.left_out[0]


def test_the_newest_version_is_the_default_and_all_are_found(tmp_path: Path) -> None:
    for version in ("1.2", "1.10", "1.9"):
        as_mar(tmp_path / f"mine_{version}.mar", files(version=version))
    assert find_archives(tmp_path, {}).specs["mine"].version == "1.10"
    assert find_version(tmp_path, "mine", "1.9") == "mine_1.9.mar"
    assert version_order("1.10") > version_order("1.9") > version_order("rc")


def test_an_entry_beats_its_archive_field_by_field(tmp_path: Path) -> None:
    as_mar(tmp_path / "mine.mar", files(config=CONFIG))
    entry = {"handler": "own", "archive": "mine.mar", "inference": {"batch_size": 2}}
    models = tmp_path / "models.json"
    models.write_text(json.dumps({"models": {"Other-Name": entry}}))
    catalog = load_catalog(models, store=tmp_path, serve_archives=True)
    assert list(catalog) == ["Other-Name"]
    inference = catalog["Other-Name"].inference
    assert (inference.batch_size, inference.batch_delay_ms) == (2, 30)


@pytest.mark.parametrize(
    "entry",
    [
        {"handler": "own", "source": "huggingface", "model_id": "a/b"},
        {"handler": "own", "task": "tensor"},
        {"handler": "own", "archive": "../elsewhere.mar"},
        {"handler": "tensor_handler", "task": "tensor", "source": "archive"},
    ],
)
def test_own_handlers_come_from_the_model_store_alone(entry: dict[str, Any]) -> None:
    entry = {"display_name": "x", "description": "x"} | entry
    with pytest.raises(CatalogError):
        Catalog(parse_specs(json.dumps({"models": {"x": entry}}).encode(), "models.json"))


def test_only_own_models_have_names_with_large_letters() -> None:
    entry = {"display_name": "x", "description": "x", "source": "builtin", "task": "tensor"}
    entry["handler"] = "tensor_handler"
    with pytest.raises(CatalogError, match="lower-case letters"):
        parse_specs(json.dumps({"models": {"Mine": entry}}).encode(), "models.json")


def test_a_folder_whose_files_change_is_another_archive(tmp_path: Path) -> None:
    as_folder(tmp_path / "mine", files())
    before = archive_mark(tmp_path / "mine")
    (tmp_path / "mine" / "handler.py").write_text("changed")
    assert archive_mark(tmp_path / "mine") != before
