"""sidecar.archives.conversion.whisper: faster-whisper's files to transformers'."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import WhisperForConditionalGeneration
from transformers.utils.logging import disable_progress_bar

from sidecar.archives.conversion.whisper import convert

pytest_plugins = ["tests.handlers.recognition_fixtures"]


@pytest.fixture
def broken(foreign_whisper: Path, tmp_path: Path) -> Path:
    """A copy to break; model.bin is left to each test."""
    folder = tmp_path / "broken"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(foreign_whisper / name, folder / name)
    return folder


def name(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def variable(text: str, kind: int, data: bytes, *shape: int) -> bytes:
    shapes = struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    return name(text) + shapes + struct.pack("<BI", kind, len(data)) + data


def model(*variables: bytes, version: int = 6, specification: str = "WhisperSpec") -> bytes:
    head = struct.pack("<I", version) + name(specification) + struct.pack("<I", 3)
    return head + struct.pack("<I", len(variables)) + b"".join(variables) + struct.pack("<I", 0)


def test_transformers_finds_every_weight_and_no_other(whisper_folder: Path) -> None:
    disable_progress_bar()  # type: ignore[no-untyped-call]
    load: Any = WhisperForConditionalGeneration.from_pretrained
    _, info = load(whisper_folder, output_loading_info=True)
    assert not any(info.values())


def test_converted_weights_keep_their_type_and_number(whisper_folder: Path) -> None:
    weights = load_file(whisper_folder / "model.safetensors")
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float16)}
    assert sum(array.size for array in weights.values()) == 37_760_256


def test_an_english_model_has_no_languages(whisper_folder: Path) -> None:
    generation = json.loads((whisper_folder / "generation_config.json").read_text())
    assert generation["is_multilingual"] is False
    assert "lang_to_id" not in generation
    assert generation["alignment_heads"][0] == [1, 0]
    assert generation["begin_suppress_tokens"] == [220, 50256]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "truncated"),
        (model(version=5), "version 5, only 6"),
        (model(specification="TransformerSpec"), "a TransformerSpec, not a WhisperSpec"),
        (model(variable("x", 9, b"")), "unknown type 9"),
        (model(variable("x", 4, bytes(6), 2, 2)), "3 numbers, but the shape"),
        (model(), "has no decoder/embeddings/weight"),
        (model(variable("decoder/embeddings/weight", 4, bytes(4), 2)), "1 dimensions, not 2"),
        (model() + b"more", "continues after"),
        (model()[:-2], "truncated"),
    ],
)
def test_a_model_that_is_not_a_whisper_is_refused(broken: Path, data: bytes, sentence: str) -> None:
    (broken / "model.bin").write_bytes(data)
    with pytest.raises(ValueError, match=sentence):
        convert(broken, broken / "out")


def test_a_truncated_file_is_refused(broken: Path, foreign_whisper: Path) -> None:
    whole = (foreign_whisper / "model.bin").read_bytes()
    (broken / "model.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="truncated"):
        convert(broken, broken / "out")


def test_an_int8_model_is_refused(broken: Path, foreign_whisper: Path) -> None:
    whole = (foreign_whisper / "model.bin").read_bytes()
    at = whole.index(name("encoder/conv1/bias"))
    old = whole[at : at + len(name("encoder/conv1/bias")) + 1 + 4 + 1 + 4 + 768]
    new = variable("encoder/conv1/bias", 1, bytes(384), 384)
    (broken / "model.bin").write_bytes(whole.replace(old, new))
    with pytest.raises(ValueError, match="int8: only models in float16 or float32"):
        convert(broken, broken / "out")


@pytest.mark.parametrize("missing", ["model.bin", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(broken: Path, missing: str) -> None:
    (broken / "model.bin").write_bytes(model())
    (broken / missing).unlink()
    with pytest.raises(ValueError, match=missing):
        convert(broken, broken / "out")


def test_a_tokenizer_of_something_else_is_refused(broken: Path) -> None:
    (broken / "model.bin").write_bytes(model())
    (broken / "tokenizer.json").write_text('{"added_tokens": []}')
    with pytest.raises(ValueError, match=r"no token <\|endoftext\|>"):
        convert(broken, broken / "out")
