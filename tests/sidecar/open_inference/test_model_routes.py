"""The rest of the protocol over HTTP: health, metadata, and the model repository."""

from typing import Any, get_args

import pytest
from tritonclient.http.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from sidecar.open_inference.datatypes import BYTES, NUMBER_TYPES
from sidecar.program import PROGRAM
from sidecar.schemas.open_inference import Datatype
from tests.fake_torchserve import FakeTorchServe
from tests.integration.tokens import bearer
from tests.sidecar.conftest import SECRET, Client, StartSidecar
from tests.sidecar.open_inference.test_infer import tensor


def test_every_type_of_the_protocol_is_known() -> None:
    assert {*NUMBER_TYPES, BYTES} == set(get_args(Datatype))


async def test_the_server_says_what_it_is_and_how_it_is(
    client: Client, triton: InferenceServerClient
) -> None:
    assert await triton.is_server_live()
    assert await triton.is_server_ready()
    facts = await triton.get_server_metadata()
    assert facts["name"] == "torchserve-sidecar"
    assert {"binary_tensor_data", "model_repository"} <= set(facts["extensions"])
    assert client.app is not None
    client.app[PROGRAM].draining.set()
    assert await triton.is_server_live()
    assert not await triton.is_server_ready()


async def test_a_model_is_ready_while_it_answers(triton: InferenceServerClient) -> None:
    assert await triton.is_model_ready("numbers")
    assert await triton.is_model_ready("numbers", "1.0")
    assert not await triton.is_model_ready("numbers", "2.0")
    assert not await triton.is_model_ready("other")  # nobody has asked for it
    assert not await triton.is_model_ready("nobody")


UNKNOWN = {"name": "output", "datatype": "FP32", "shape": [-1, -1]}
TENSORS: dict[str, tuple[Any, Any]] = {
    "numbers": ({"name": "input", "datatype": "FP32", "shape": [-1, 3]}, [UNKNOWN]),
    "squares": ({"name": "input", "datatype": "FP32", "shape": [-1, 2, 2]}, [UNKNOWN]),
    "counts": ({"name": "input", "datatype": "INT64", "shape": [-1, 3]}, [UNKNOWN]),
    "echo": ({"name": "input", "datatype": "FP32", "shape": [-1, -1]}, [UNKNOWN]),
    "minilm": (
        {"name": "text", "datatype": "BYTES", "shape": [-1]},
        [{"name": "embedding", "datatype": "FP32", "shape": [-1, -1]}],
    ),
    "Mine": (
        {"name": "body", "datatype": "BYTES", "shape": [-1]},
        [{"name": "body", "datatype": "BYTES", "shape": [-1]}],
    ),
}


async def test_metadata_tells_what_is_known_of_a_models_tensors(
    triton: InferenceServerClient,
) -> None:
    for name, (wanted, outputs) in TENSORS.items():
        facts = await triton.get_model_metadata(name)
        assert (facts["name"], facts["versions"]) == (name, ["1.0"])
        assert facts["inputs"] == [wanted]
        assert facts["outputs"] == outputs
    assert await triton.get_model_metadata("numbers", "1.0")
    with pytest.raises(InferenceServerException, match="has no version 2"):
        await triton.get_model_metadata("numbers", "2")


async def test_an_output_is_as_its_handler_tells(
    start_models: StartSidecar, torchserve: FakeTorchServe
) -> None:
    torchserve.described |= {"output": {"shape": [3], "dtype": "int64"}}
    client = await start_models()
    triton = InferenceServerClient(f"{client.server.host}:{client.server.port}")
    facts = await triton.get_model_metadata("counts")
    assert facts["outputs"] == [{"name": "output", "datatype": "INT64", "shape": [-1, 3]}]
    result = await triton.infer("counts", [tensor("input", [[1, 2, 2**53 + 1]], "INT64")])
    assert result.as_numpy("output").tolist() == [[1, 2, 2**53 + 1]]
    await triton.close()


async def test_the_output_of_an_unloaded_tensor_model_is_unknown(
    client: Client,
) -> None:
    response = await client.get("/v2/models/other")
    assert response.status == 503
    assert response.headers["Retry-After"]
    assert "its output is not known" in (await response.json())["error"]


async def test_the_repository_lists_loads_and_unloads(client: Client) -> None:
    triton = InferenceServerClient(f"{client.server.host}:{client.server.port}")
    admin = bearer("admin", SECRET)
    index = {each["name"]: each for each in await triton.get_model_repository_index()}
    assert index["numbers"] == {"name": "numbers", "version": "1.0", "state": "READY", "reason": ""}
    assert index["other"]["state"] == "UNAVAILABLE"
    assert index["other"]["reason"]
    await triton.load_model("other", headers=admin)
    assert await triton.is_model_ready("other")
    await triton.unload_model("other", headers=admin)
    assert not await triton.is_model_ready("other")
    await triton.close()
    ready = await (await client.post("/v2/repository/index", json={"ready": True})).json()
    assert {each["state"] for each in ready} == {"READY"}


async def test_loading_needs_an_operator_and_takes_no_configuration(client: Client) -> None:
    triton = InferenceServerClient(f"{client.server.host}:{client.server.port}")
    for headers in ({}, bearer("stats", SECRET)):
        for change in (triton.load_model, triton.unload_model):
            with pytest.raises(InferenceServerException, match=r"\[40[13]\]"):
                await change("numbers", headers=headers)
    with pytest.raises(InferenceServerException, match=r"parameters\.config: models are"):
        await triton.load_model("numbers", headers=bearer("admin", SECRET), config="{}")
    await triton.close()


async def test_an_unknown_v2_path_is_refused_in_the_form_of_the_protocol(
    client: Client,
) -> None:
    response = await client.get("/v2/nothing")
    assert response.status == 404
    assert (await response.json()).keys() == {"error"}
