"""`scripts/models check`: a model loaded as a worker would, by a process of its own."""

import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sidecar.catalog.catalog import load_catalog
from sidecar.downloads.checking import check_models
from sidecar.settings import Settings
from tests.mistakes.made import EAGER, ENTRY, SOURCE
from tests.own_archives.archives import pack


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "my_net.py").write_text(SOURCE)
    weights = {"layer.weight": torch.ones(3, 4), "layer.bias": torch.zeros(3)}
    save_file(weights, folder / "model.safetensors")
    entries = {
        "net": ENTRY,
        "larger": ENTRY | {"handler_options": EAGER | {"arguments": {"outputs": 5}}},
        "lost": ENTRY | {"path": "nowhere"},
    }
    models = tmp_path / "models.json"
    models.write_text(json.dumps({"models": entries}))
    return Settings(models_file=models, model_store=tmp_path / "store", state_dir=tmp_path / "var")


def checked(settings: Settings, *keys: str) -> tuple[bool, list[str]]:
    said: list[str] = []
    well = check_models(settings, load_catalog(settings.models_file), keys, said.append)
    return well, said


def test_a_check_reports_device_precision_memory_time_and_an_answer(settings: Settings) -> None:
    well, (figures, answer) = checked(settings, "net")
    assert well
    assert figures.startswith("net: cpu, ")
    assert " MB, loaded in " in figures
    assert answer.startswith("  a sample was answered in ")
    assert len(json.loads(answer.partition(": ")[2])) == 3
    assert not settings.model_store.exists()  # it changes nothing


def test_a_fault_is_one_sentence_and_the_other_models_are_checked(settings: Settings) -> None:
    well, said = checked(settings, "lost", "larger")
    assert not well
    assert said[0] == "lost: path: nowhere is not there"
    assert said[1].startswith("larger: cannot load the eager model: Error(s) in loading state_dict")
    assert len(said) == 2


OWN = ("text", "labels", "explain")  # a .mar, a folder and a .tar.gz
HANDLERS: Mapping[str, tuple[str, str | None]] = {  # source, and what is said of it
    "counts": ("def handle(data, context):\n    context.metrics.add_counter('Loads', 1)\n", None),
    "silent": ("def handle(data, context):\n    raise RuntimeError\n", "RuntimeError"),
    "lacks": ("import nobody_has_it\n", "No module named 'nobody_has_it'"),
    "leaves": ("import sys\n\nsys.exit(3)\n", "its process ended with code 3"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives of torch-model-archiver's, and some whose handlers do one thing each."""
    store = tmp_path_factory.mktemp("store")
    pack(store, OWN)
    for key, (source, _) in HANDLERS.items():
        with zipfile.ZipFile(store / f"{key}.mar", "w") as archive:
            model = {"modelName": key, "modelVersion": "1.0", "handler": "mine.py"}
            archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": model}))
            archive.writestr("mine.py", source)
    return store


def own_checked(store: Path, tmp_path: Path, *keys: str) -> tuple[bool, list[str]]:
    models = tmp_path / "models.json"
    models.write_text('{"models": {}}')
    settings = Settings(models_file=models, model_store=store, state_dir=tmp_path / "var")
    said: list[str] = []
    catalog = load_catalog(models, store=store, serve_archives=True)
    return check_models(settings, catalog, keys, said.append), said


def test_archives_of_torch_model_archiver_load_in_every_form(store: Path, tmp_path: Path) -> None:
    keys = [f"own_{name}" for name in OWN]
    well, said = own_checked(store, tmp_path, *keys)
    assert well, said
    for key, figures, sample in zip(keys, said[::2], said[1::2], strict=True):
        assert figures.startswith(f"{key}: ")
        assert " MB, loaded in " in figures
        assert sample.startswith("  no sample was run: ")


def test_an_error_of_an_own_handler_is_one_sentence(store: Path, tmp_path: Path) -> None:
    well, said = own_checked(store, tmp_path, *HANDLERS)
    assert not well
    assert said[0].startswith("counts: ")
    wrong = {key: sentence for key, (_, sentence) in HANDLERS.items() if sentence is not None}
    assert said[2:] == [f"{key}: {sentence}" for key, sentence in wrong.items()]


def test_a_damaged_archive_is_reported_in_one_sentence(store: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "store"
    damaged.mkdir()
    for name in ("own_text.mar", "own_explain.tar.gz"):
        (damaged / name).write_bytes((store / name).read_bytes())
    models = tmp_path / "models.json"
    models.write_text('{"models": {}}')
    catalog = load_catalog(models, store=damaged, serve_archives=True)
    for path in damaged.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    settings = Settings(models_file=models, model_store=damaged, state_dir=tmp_path / "var")
    said: list[str] = []
    assert not check_models(settings, catalog, ["own_text", "own_explain"], said.append)
    assert [line.partition(": ")[2].partition(":")[0] for line in said] == [
        "own_text.mar",
        "own_explain.tar.gz",
    ]


def test_a_tar_file_writes_nothing_outside_of_its_folder(store: Path, tmp_path: Path) -> None:
    outside = tmp_path / "store" / "own_explain.tar.gz"
    outside.parent.mkdir()
    with (
        tarfile.open(store / "own_explain.tar.gz") as good,
        tarfile.open(outside, "w:gz") as bad,
    ):
        for member in good.getmembers():
            bad.addfile(member, good.extractfile(member))
        bad.addfile(tarfile.TarInfo("own_explain/../../escaped"))
    well, said = own_checked(outside.parent, tmp_path, "own_explain")
    assert not well
    assert said[0].startswith("own_explain: own_explain.tar.gz: ")
