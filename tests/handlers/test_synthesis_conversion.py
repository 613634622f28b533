"""Pickled checkpoints, converted as the build does, speak as those that were safe before."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sidecar.archives import archive
from sidecar.archives.conversion import bark as bark_conversion
from sidecar.archives.conversion import pickled
from sidecar.archives.conversion import tacotron2 as tacotron2_conversion
from tests.checkpoints import bark, speecht5, tacotron2
from tests.handlers.families import load_family
from tests.handlers.speaking import farthest, say

EQUAL = 1e-3


def pickle_weights(folder: Path) -> None:
    """*folder* as the hub has it: `pytorch_model.bin` for each `model.safetensors`."""
    for safe in list(folder.rglob("model.safetensors")):
        torch.save(load_file(safe), safe.with_name("pytorch_model.bin"))
        safe.unlink()


def check_alike(first: Path, second: Path, text: str, **options: Any) -> None:
    """Both folders speak, and in the same way."""
    one, other = (load_family(folder, **options) for folder in (first, second))
    for name in options.get("voices", {"default": {}}):
        assert farthest(say(one, text, voice=name), say(other, text, voice=name)) < EQUAL


def test_a_pickled_speecht5_is_converted(tmp_path: Path) -> None:
    speecht5.build(tmp_path / "safe")
    shutil.copytree(tmp_path / "safe", tmp_path / "hub")
    pickle_weights(tmp_path / "hub")
    pickled.convert(tmp_path / "hub", tmp_path / "made")
    assert not list((tmp_path / "made").rglob("*.bin"))
    check_alike(tmp_path / "safe", tmp_path / "made", "Hello there.", voices={"slt": {}})


def test_a_pickled_bark_is_converted_with_its_voices(tmp_path: Path) -> None:
    bark.build(tmp_path / "safe")
    shutil.copytree(tmp_path / "safe", tmp_path / "hub")
    pickle_weights(tmp_path / "hub")
    (tmp_path / "hub" / "voices.safetensors").unlink()
    bark_conversion.convert(tmp_path / "hub", tmp_path / "made")
    assert not list((tmp_path / "made").rglob("*.npy"))
    check_alike(tmp_path / "safe", tmp_path / "made", "Hello.", voices={n: {} for n in bark.VOICES})


def test_a_tacotron2_is_converted_with_its_vocoder(tmp_path: Path) -> None:
    tacotron2.build(tmp_path / "safe")
    tacotron2.build_published(tmp_path / "hub")
    tacotron2_conversion.convert(tmp_path / "hub", tmp_path / "made")
    check_alike(tmp_path / "safe", tmp_path / "made", "Hello there.")


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    hub.mkdir()
    (hub / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(tmp_path / "touched")))
    with pytest.raises(ValueError, match="refused"):
        pickled.convert(hub, tmp_path / "made")
    torch.save({"weight": Evil(tmp_path / "touched")}, hub / "pytorch_model.bin")
    with pytest.raises(ValueError, match="refused"):
        pickled.convert(hub, tmp_path / "made")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("missing", ["tacotron2.pt", "hifigan_generator.pt", "hifigan_config.json"])
def test_a_tacotron2_with_a_missing_file_is_refused(tmp_path: Path, missing: str) -> None:
    tacotron2.build_published(tmp_path / "hub")
    (tmp_path / "hub" / missing).unlink()
    with pytest.raises(archive.BuildError, match=f"hub: .*{missing}"):
        archive.convert_source("tacotron2", tmp_path / "hub", tmp_path / "made", "hub")
    assert not list((tmp_path / "made").rglob("*"))
