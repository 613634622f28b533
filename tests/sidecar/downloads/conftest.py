"""A hub, and checkpoints small enough to be downloaded many times."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from transformers import DistilBertConfig, DistilBertModel

from sidecar.downloads.messages import DownloadSettings, DownloadTarget
from tests.hub import FakeHub

Files = dict[str, bytes]
TINY = "tests/tiny-bert"


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    fake = FakeHub()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture(scope="session")
def state() -> dict[str, torch.Tensor]:
    """The weights of a DistilBERT of one layer, 16 wide: 0.6 MB."""
    torch.manual_seed(0)
    model = DistilBertModel(DistilBertConfig(**_shape()))
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _shape() -> dict[str, Any]:
    return {
        "vocab_size": 10_000,
        "dim": 16,
        "hidden_dim": 32,
        "n_layers": 1,
        "n_heads": 2,
        "max_position_embeddings": 32,
    }


@pytest.fixture(scope="session")
def settings_files() -> Files:
    """What lies beside the weights."""
    config = {"architectures": ["DistilBertModel"], "model_type": "distilbert", **_shape()}
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxy"]
    return {
        "config.json": json.dumps(config).encode(),
        "vocab.txt": "\n".join(words).encode(),
        "tokenizer_config.json": b'{"do_lower_case": true}',
        "README.md": b"not wanted",
        "onnx/model.onnx": b"not wanted either",
    }


@pytest.fixture(scope="session")
def checkpoint(settings_files: Files, state: dict[str, torch.Tensor]) -> Files:
    """A repository with safetensors."""
    return settings_files | {"model.safetensors": save(state, {"format": "pt"})}


@pytest.fixture(scope="session")
def pickled(settings_files: Files, state: dict[str, torch.Tensor]) -> Files:
    """The same with a pickle."""
    return settings_files | {"pytorch_model.bin": dumped(state)}


def dumped(value: Any) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.fixture
def place(tmp_path: Path, hub: FakeHub) -> DownloadSettings:
    """An operator's settings, with *hub*."""
    (tmp_path / "var").mkdir(exist_ok=True)
    return DownloadSettings(
        state_dir=tmp_path / "var",
        model_store=tmp_path / "store",
        models_file=tmp_path / "models.json",
        endpoint=hub.url,
        token=None,
        hosts=(),
        local_dir=None,
        max_mb=1000.0,
        min_free_mb=1.0,
    )


def target(**values: Any) -> DownloadTarget:
    """For the tiny model, unless *values* say something else."""
    usual: dict[str, Any] = {
        "key": "tiny",
        "source": "huggingface",
        "model_id": TINY,
        "name": "tiny",
    }
    return DownloadTarget(**usual | values)
