"""silero-vad's ONNX file as safetensors; tests/handlers compares it with the wheel's program."""

from pathlib import Path

import onnx
import pytest

from sidecar.archives.conversion import silero


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no silero_vad_16k_op15\.onnx"):
        silero.convert(tmp_path, tmp_path)


def test_another_network_is_refused(tmp_path: Path) -> None:
    graph = onnx.helper.make_graph([], "empty", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / silero.NETWORK)
    with pytest.raises(ValueError, match="lacks model"):
        silero.convert(tmp_path, tmp_path)
