"""Archives: what goes in, and what is refused."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.archives import __main__ as building
from sidecar.archives import archive
from sidecar.schemas.model_spec import Inference, ModelSpec, Workers

BASE: dict[str, Any] = {
    "display_name": "Local",
    "description": "",
    "task": "tensor",
    "handler": "tensor_handler",
    "handler_options": {"format": "torchscript", "program": "model.pt"},
}


def local(path: str, **values: Any) -> ModelSpec:
    return ModelSpec(source="local", path=path, **BASE | values)


def build(tmp_path: Path, spec: ModelSpec) -> Path:
    path = tmp_path / "store" / "own.mar"
    archive.build(path, "own", spec, base=tmp_path, cache=tmp_path / "cache")
    return path


def test_an_archive_holds_handler_kit_weights_and_settings(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"program")
    built = build(tmp_path, local("model.pt", inference=Inference(batch_size=3)))
    with zipfile.ZipFile(built) as content:
        names = set(content.namelist())
        config = yaml.safe_load(content.read("model-config.yaml"))
    assert {"tensor_handler.py", "handler_kit/job.py", "model.pt", "build.json"} <= names
    assert config["batchSize"] == 3
    assert config["handler"]["options"] == BASE["handler_options"]
    assert "minWorkers" not in config


def test_an_archive_is_current_until_its_content_changes(tmp_path: Path) -> None:
    model = tmp_path / "model.pt"
    model.write_bytes(b"program")
    spec = local("model.pt")
    built = build(tmp_path, spec)
    assert archive.is_current(built, "own", spec, tmp_path)
    other = local("model.pt", inference=Inference(workers=Workers(min=1, max=2)))
    assert not archive.is_current(built, "own", other, tmp_path)
    model.write_bytes(b"another program")
    assert not archive.is_current(built, "own", spec, tmp_path)


def test_a_spoiled_archive_is_not_current(tmp_path: Path) -> None:
    (tmp_path / "own.mar").write_bytes(b"spoiled")
    (tmp_path / "model.pt").write_bytes(b"program")
    assert not archive.is_current(tmp_path / "own.mar", "own", local("model.pt"), tmp_path)


def test_pickles_and_hidden_files_of_a_folder_stay_out(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.pt", "pytorch_model.bin", "old.pkl", ".secret"):
        (folder / name).write_text("{}")
    with zipfile.ZipFile(build(tmp_path, local("model"))) as content:
        names = set(content.namelist())
    assert "config.json" in names
    assert not names & {"pytorch_model.bin", "old.pkl", ".secret"}


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "missing.pt"])
def test_a_local_path_is_below_the_catalogs_folder_and_there(tmp_path: Path, path: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (tmp_path / "outside").write_text("")
    with pytest.raises(archive.BuildError, match="path: "):
        archive.build(tmp_path / "store", "own", local(path), base=base, cache=tmp_path)


def test_a_builtin_without_its_module_is_refused(tmp_path: Path) -> None:
    spec = ModelSpec(source="builtin", **BASE)
    with pytest.raises(archive.BuildError, match=r"handler_options\.module"):
        build(tmp_path, spec)


def test_an_optional_archive_is_built_when_asked_for_and_kept_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, built = tmp_path / "model.pt", tmp_path / "store" / "own.mar"
    entry = BASE | {"source": "local", "path": "model.pt", "optional": True, "auto_load": False}
    (tmp_path / "models.json").write_text(json.dumps({"models": {"own": entry}}))
    monkeypatch.setenv("SIDECAR_MODELS_FILE", str(tmp_path / "models.json"))
    monkeypatch.setenv("SIDECAR_MODEL_STORE", str(built.parent))
    monkeypatch.setenv("SIDECAR_STATE_DIR", str(tmp_path / "state"))
    program.write_bytes(b"program")
    assert building.main([]) == 0
    assert not built.exists()
    assert building.main(["own"]) == 0
    program.write_bytes(b"another program")
    assert building.main([]) == 0
    with zipfile.ZipFile(built) as content:
        assert content.read("model.pt") == b"another program"
