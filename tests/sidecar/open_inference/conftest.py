"""Models of every kind behind a fake TorchServe, for clients of the Open Inference Protocol."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tritonclient.http.aio import InferenceServerClient

from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CATALOG, ECHO, Client, StartSidecar
from tests.sidecar.routes.test_speech_refusals import FINDING, LISTENING, SPEAKING


def of_tensors(**options: Any) -> dict[str, Any]:
    program = {"format": "export", "program": "model.pt2", "input": {"shape": [3], **options}}
    return ECHO | {"handler_options": program}


def of_texts(task: str) -> dict[str, Any]:
    return ECHO | {"task": task, "handler": "text_handler", "handler_options": {"task": task}}


MODELS: dict[str, Any] = CATALOG | {
    "numbers": of_tensors(),
    "fitted": of_tensors(fit="pad_or_cut"),
    "counts": of_tensors(dtype="int64"),
    "squares": of_tensors(shape=[2, 2]) | {"input_rank": 2},
    "vectors": ECHO
    | {"task": "embedding", "handler": "text_embedding_handler", "aliases": ["minilm"]},
    "moods": of_texts("text_classification"),
    "names": of_texts("token_classification"),
    "pictures": ECHO | {"task": "image_classification", "handler": "image_handler"},
    "writer": of_texts("text_generation"),
    "voice": SPEAKING | {"auto_load": True},
    "ears": LISTENING | {"auto_load": True},
    "vad": FINDING,
    "Mine": {"handler": "own", "auto_load": True, "inference": {"batch_size": 1}},
}


@pytest.fixture
def start_models(start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path) -> StartSidecar:
    """Starts a sidecar with `MODELS`, whose archives are all there."""
    store = tmp_path / "store"
    store.mkdir()
    for key in MODELS:
        (store / f"{key}.mar").touch()
        torchserve.archives.add(f"{key}.mar")

    async def start_models(**settings: Any) -> Client:
        return await start(**{"catalog": MODELS, "model_store": store} | settings)

    return start_models


@pytest.fixture
async def client(start_models: StartSidecar) -> Client:
    return await start_models()


@pytest.fixture
async def triton(client: Client) -> AsyncIterator[InferenceServerClient]:
    """Triton's own client, over HTTP."""
    made = InferenceServerClient(f"{client.server.host}:{client.server.port}")
    yield made
    await made.close()
