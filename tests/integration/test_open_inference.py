"""Triton's own clients on a real server with real models, over HTTP and gRPC."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.grpc.aio as grpc_client
import tritonclient.http as over_http
import tritonclient.http.aio as http_client
from tritonclient.utils import InferenceServerException

from tests.integration.server import Server

pytestmark = pytest.mark.integration

Token = Callable[[str], dict[str, str]]


class Protocol:
    """One transport: Triton's client of it, and its inputs."""

    def __init__(self, client: Any, inputs: Any) -> None:
        self.client = client
        self._inputs = inputs

    def tensor(self, name: str, values: np.ndarray[Any, Any], datatype: str) -> Any:
        tensor = self._inputs(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values)
        return tensor

    def texts(self, name: str, *values: bytes | str) -> Any:
        return self.tensor(name, np.array(values, np.object_), "BYTES")

    async def metadata(self, name: str) -> Any:
        over_grpc = isinstance(self.client, grpc_client.InferenceServerClient)
        asked = {"as_json": True} if over_grpc else {}
        return await self.client.get_model_metadata(name, **asked)


@pytest.fixture(params=["http", "grpc"])
async def triton(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Protocol]:
    if request.param == "http":
        client = http_client.InferenceServerClient(f"127.0.0.1:{server.port}")
        yield Protocol(client, over_http.InferInput)
    else:
        client = grpc_client.InferenceServerClient(server.grpc_address)
        yield Protocol(client, over_grpc.InferInput)
    await client.close()


async def test_the_tensors_of_real_models_are_known(triton: Protocol) -> None:
    assert await triton.client.is_server_ready()
    facts = await triton.metadata("example")
    assert [int(size) for size in facts["inputs"][0]["shape"]] == [-1, 10]
    assert [int(size) for size in facts["outputs"][0]["shape"]] == [-1, 1]
    facts = await triton.metadata("sentence_transformer")
    assert (facts["outputs"][0]["datatype"], facts["inputs"][0]["datatype"]) == ("FP32", "BYTES")
    assert [int(size) for size in facts["outputs"][0]["shape"]] == [-1, 384]


async def test_answers_are_those_of_predict(triton: Protocol, http: aiohttp.ClientSession) -> None:
    rows = np.arange(20, dtype=np.float32).reshape(2, 10)
    texts = ["hello world", "a b c"]

    async def predicted(model: str, inputs: Any) -> Any:
        asked = {"model_name": model, "inputs": inputs}
        async with http.post("/predict", json=asked) as response:
            return (await response.json())["result"]

    result = await triton.client.infer("example", [triton.tensor("input", rows, "FP32")])
    expected = await predicted("example", rows.tolist())
    assert result.as_numpy("output")[:, 0] == pytest.approx(expected, abs=1e-6)
    result = await triton.client.infer("minilm", [triton.texts("text", *texts)])
    expected = await predicted("minilm", texts)
    assert result.as_numpy("embedding") == pytest.approx(np.array(expected), abs=1e-5)


async def test_spoken_text_is_recognised(triton: Protocol) -> None:
    spoken = await triton.client.infer("hibari_tts", [triton.texts("text", "Good morning.")])
    audio = spoken.as_numpy("audio")[0]
    assert audio.startswith(b"RIFF")
    heard = await triton.client.infer("whisper_tiny_en", [triton.texts("audio", audio)])
    assert "good morning" in heard.as_numpy("text")[0].decode().lower()


async def test_the_repository_needs_an_operator(triton: Protocol, token: Token) -> None:
    bearer = {"authorization": token("admin")["Authorization"]}
    with pytest.raises(InferenceServerException):
        await triton.client.load_model("example")
    await triton.client.load_model("example", headers=bearer)
    assert await triton.client.is_model_ready("example")
