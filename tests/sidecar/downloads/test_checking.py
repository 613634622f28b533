"""`scripts/models check`: a model loaded as a worker would, by a process of its own."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sidecar.catalog.catalog import load_catalog
from sidecar.downloads.checking import check_models
from sidecar.settings import Settings
from tests.mistakes.made import EAGER, ENTRY, SOURCE


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


def test_a_good_model_tells_device_precision_memory_time_and_an_answer(settings: Settings) -> None:
    well, (figures, answer) = checked(settings, "net")
    assert well
    assert figures.startswith("net: cpu, ")
    assert " MB, loaded in " in figures
    assert answer.startswith("  a sample was answered in ")
    assert len(json.loads(answer.partition(": ")[2])) == 3
    assert not settings.model_store.exists()  # it changes nothing


def test_what_is_wrong_is_one_sentence_and_the_others_are_checked_too(settings: Settings) -> None:
    well, said = checked(settings, "lost", "larger")
    assert not well
    assert said[0] == "lost: path: nowhere is not there"
    assert said[1].startswith("larger: cannot load the eager model: Error(s) in loading state_dict")
    assert len(said) == 2
