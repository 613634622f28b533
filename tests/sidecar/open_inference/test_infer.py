"""POST …/infer as Triton's own client asks for it, in JSON and in bytes."""

import asyncio
import base64
import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.http.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from sidecar.program import PROGRAM, Program
from tests.fake_torchserve import FakeTorchServe, Refuse, Spoken
from tests.integration.tokens import bearer
from tests.sidecar.conftest import SECRET, Client, StartSidecar
from tests.sidecar.openai.test_audio import HEARD
from tests.waiting import until

FLOATS = ["FP16", "BF16", "FP32", "FP64"]
WHOLE = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"]
DTYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
} | {name: getattr(np, name.lower()) for name in WHOLE[1:]}


def the_program(client: Client) -> Program:
    assert client.app is not None
    program: Program = client.app[PROGRAM]
    return program


def tensor(name: str, values: Any, datatype: str, *, binary: bool = True) -> InferInput:
    array = np.array(values, np.object_ if datatype == "BYTES" else DTYPES[datatype])
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


async def test_numbers_of_every_type_reach_a_model_of_floats_row_by_row(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    rows = [[1, 0, 1], [0, 1, 0]]
    for datatype in FLOATS + WHOLE:
        result = await triton.infer("numbers", [tensor("input", rows, datatype)])
        assert result.as_numpy("output").tolist() == rows
        assert result.as_numpy("output").dtype == np.float32
        assert torchserve.jobs.pop() == rows


async def test_a_model_of_whole_numbers_takes_whole_numbers_alone(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    for datatype in WHOLE:
        await triton.infer("counts", [tensor("input", [[1, 0, 1]], datatype)])
        assert torchserve.jobs.pop() == [[1, 0, 1]]
    for datatype in [*FLOATS, "BYTES"]:
        values = [["a", "b", "c"]] if datatype == "BYTES" else [[1, 2, 3]]
        with pytest.raises(InferenceServerException, match=r"inputs\[0\].datatype.*INT64"):
            await triton.infer("counts", [tensor("input", values, datatype)])


async def test_floats_that_only_sixteen_bits_hold_arrive_as_they_are(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    for datatype in ("FP16", "BF16"):
        await triton.infer("numbers", [tensor("input", [[0.15625, -2.5, 3]], datatype)])
    assert torchserve.jobs == [[[0.15625, -2.5, 3.0]]] * 2


async def test_answers_come_in_the_form_that_is_asked_for(triton: InferenceServerClient) -> None:
    for binary in (True, False):
        await check_form(triton, binary=binary)


async def check_form(triton: InferenceServerClient, *, binary: bool) -> None:
    result = await triton.infer(
        "numbers",
        [tensor("input", [[1.5, 2, 3]], "FP32", binary=binary)],
        outputs=[InferRequestedOutput("output", binary_data=binary)],
        request_id="my-request",
    )
    assert result.as_numpy("output").tolist() == [[1.5, 2, 3]]
    output = result.get_output("output")
    assert ("data" in output) is not binary
    assert output["shape"] == [1, 3]
    assert result.get_response()["id"] == "my-request"
    assert result.get_response()["model_version"] == "1.0"


async def test_rows_of_requests_share_jobs_by_priority(
    client: Client, triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    dispatcher = the_program(client).models["numbers"].dispatcher
    torchserve.hold()

    def ask(number: int, rows: int, priority: int = 0) -> "asyncio.Task[Any]":
        asked = [tensor("input", [[number] * 3] * rows, "FP32")]
        return asyncio.create_task(triton.infer("numbers", asked, priority=priority))

    asked = []
    slots = dispatcher.slots
    for place in range(slots):  # all that may be in flight
        asked.append(ask(0, 1))
        await until(lambda place=place: len(torchserve.jobs) > place)  # type: ignore[misc]
    asked += [ask(1, 7), ask(2, 2, priority=10)]
    await until(lambda: len(dispatcher.queue) == 9)
    torchserve.release()
    await asyncio.gather(*asked)
    shared = torchserve.jobs[slots]
    assert [row[0] for row in shared] == [2, 2, 1, 1, 1, 1, 1, 1]


async def test_a_time_out_is_in_microseconds(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    with pytest.raises(InferenceServerException, match=r"no answer within 0\.05 s") as caught:
        await triton.infer("numbers", [tensor("input", [[1, 2, 3]], "FP32")], timeout=50_000)
    assert caught.value.status() == "504"


async def test_texts_become_vectors(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda text: [0.25, len(text)]
    for shape in ([2], [2, 1]):
        asked = InferInput("text", shape, "BYTES")
        asked.set_data_from_numpy(np.array(["a", "snö"], np.object_).reshape(shape))
        result = await triton.infer("minilm", [asked])
        assert result.as_numpy("embedding").tolist() == [[0.25, 1], [0.25, 3]]
        assert result.get_response()["model_name"] == "minilm"


async def test_labels_and_scores_are_tensors_of_their_own(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: [
        {"label": "good", "score": 0.75},
        {"label": "bad", "score": 0.25},
    ]
    result = await triton.infer(
        "moods", [tensor("text", ["a", "b"], "BYTES")], parameters={"top_k": 2}
    )
    assert result.as_numpy("label").tolist() == [[b"good", b"bad"]] * 2
    assert result.as_numpy("score").tolist() == [[0.75, 0.25]] * 2
    assert torchserve.jobs == [[{"text": text, "parameters": {"top_k": 2}} for text in ("a", "b")]]


async def test_a_picture_is_its_file(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: [{"label": "cat", "score": 1.0}]
    await triton.infer("pictures", [tensor("image", [b"\x89PNG\x00"], "BYTES")])
    assert torchserve.jobs == [[base64.b64encode(b"\x89PNG\x00").decode()]]


async def test_ragged_outputs_are_json(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda text: [{"word": text}] * len(text)
    result = await triton.infer("names", [tensor("text", ["a", "bc"], "BYTES")])
    assert [json.loads(each) for each in result.as_numpy("result")] == [
        [{"word": "a"}],
        [{"word": "bc"}] * 2,
    ]


async def test_a_text_goes_on_as_text(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda text: {"generated_text": f"{text}!"}
    result = await triton.infer("writer", [tensor("text", ["Hello"], "BYTES")])
    assert result.as_numpy("generated_text").tolist() == [b"Hello!"]


async def test_speech_is_a_file_and_a_file_is_heard(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: Spoken(bytes(4800))
    spoken = await triton.infer("voice", [tensor("text", ["Hello."], "BYTES")])
    (wav,) = spoken.as_numpy("audio")
    assert wav.startswith(b"RIFF")
    assert spoken.as_numpy("sample_rate").tolist() == [24000]
    torchserve.answer = lambda _: HEARD
    heard = await triton.infer("ears", [tensor("audio", [wav], "BYTES")])
    assert heard.as_numpy("text").tolist() == [b"Hello there."]


async def test_bytes_reach_an_own_handler_and_come_back(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    body = bytes(range(256))
    result = await triton.infer("Mine", [tensor("body", [body, b"x"], "BYTES")])
    assert result.as_numpy("body").tolist() == [body, b"x"]
    assert {request.content_type for request in torchserve.requests} == {"application/octet-stream"}


async def test_a_handler_that_knows_the_protocol_gets_the_request_as_it_is(
    client: Client, torchserve: FakeTorchServe
) -> None:
    """As by TorchServe's envelope kservev2, for tensors of any name, type and shape."""
    asked = {
        "id": "d3b1",
        "inputs": [
            {"name": "input-0", "shape": [-1], "datatype": "BYTES", "data": ["aGk="]},
            {"name": "body", "shape": [1, 2], "datatype": "FP32", "data": [[1.5, 2]]},
        ],
    }
    response = await client.post("/v2/models/Mine/infer", json=asked)
    assert (response.status, await response.json()) == (200, asked)
    (request,) = torchserve.requests
    assert (request.path, request.content_type) == ("/v2/models/Mine/infer", "application/json")
    for other in ("echo/infer", "Mine/versions/1.0/infer"):
        assert (await client.post(f"/v2/models/{other}", json=asked)).status == 400


async def test_an_own_handler_gets_the_media_type_of_the_input(
    client: Client, torchserve: FakeTorchServe
) -> None:
    asked = of_texts("body", ['{"a": 1}'], parameters={"content_type": "application/json"})
    answer = await ask(client, "Mine", asked)
    assert torchserve.requests[0].content_type == "application/json"
    assert answer["outputs"][0]["data"] == ['{"a": 1}']
    for wrong in ("json", "a/b\r\nX-Evil: 1", 7):
        asked = of_texts("body", ["x"], parameters={"content_type": wrong})
        refusal = await ask(client, "Mine", asked, status=400)
        assert "inputs[0].parameters.content_type: " in refusal["error"]


async def test_a_shorter_input_is_filled_up_where_the_model_does_that(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    await triton.infer("fitted", [tensor("input", [[1, 2]], "FP32")])
    assert torchserve.jobs == [[[1.0, 2.0]]]


async def test_an_input_of_two_dimensions_is_a_list_of_lists(
    triton: InferenceServerClient, torchserve: FakeTorchServe
) -> None:
    result = await triton.infer("squares", [tensor("input", [[[1, 2], [3, 4]]], "FP32")])
    assert torchserve.jobs == [[[[1.0, 2.0], [3.0, 4.0]]]]
    assert result.as_numpy("output").tolist() == [[[1, 2], [3, 4]]]


# What is refused


def of_texts(name: str, data: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "inputs": [{"name": name, "shape": [len(data)], "datatype": "BYTES", "data": data} | more]
    }


def of_numbers(**more: Any) -> dict[str, Any]:
    given = {"name": "input", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]} | more
    return {"inputs": [{name: value for name, value in given.items() if value is not None}]}


async def ask(client: Client, model: str, body: Any, status: int = 200, **how: Any) -> Any:
    response = await client.post(f"/v2/models/{model}/infer", json=body, **how)
    answer = await response.json()
    assert response.status == status, answer
    assert status == 200 or answer.keys() == {"error"}
    return answer


WRONG: list[tuple[Any, str]] = [
    (of_numbers(name="x"), "inputs[0].name: expected 'input'"),
    (of_numbers(datatype="BYTES", data=["a", "b", "c"]), "inputs[0].datatype: expected FP32"),
    (of_numbers(datatype="FP8"), "inputs[0].datatype"),
    (of_numbers(shape=[3]), "inputs[0].shape: expected [-1, 3], got [3]"),
    (of_numbers(shape=[1, 4]), "inputs[0].shape: expected [-1, 3], got [1, 4]"),
    (of_numbers(shape=[0, 3], data=[]), "inputs[0].shape"),
    (of_numbers(shape=[-1, 3]), "inputs[0].shape"),
    (of_numbers(shape=[2**62, 3]), "inputs[0].shape: expected at most 1024 inputs"),
    (of_numbers(shape=[2**70, 3]), "inputs[0].shape"),
    (of_numbers(shape=[2, 3]), "inputs[0].data: expected 6 elements in a list, got 3"),
    (of_numbers(data=[[1, 2], [3]]), "inputs[0].data: expected 1 elements in a list, got 2"),
    (of_numbers(data=[[1, 2]]), "inputs[0].data: expected 3 elements in a list, got 2"),
    (of_numbers(data=[[[1, 2, 3]]]), "inputs[0].data: expected a flat list, or lists nested 2"),
    (of_numbers(data=[1, "2", 3]), "inputs[0].data[1]: Expected `float`, got `str`"),
    (of_numbers(data=[1, None, 3]), "inputs[0].data[1]: "),
    (of_numbers(data=[1, 1e39, 3]), "inputs[0].data[1]: "),
    (of_numbers(datatype="UINT8", data=[1, 256, 3]), "inputs[0].data[1]: "),
    (of_numbers(datatype="UINT64", data=[1, 2**64, 3]), "inputs[0].data"),
    (of_numbers(datatype="BOOL", data=[1, True, False]), "inputs[0].data[0]: "),
    (of_numbers(data="abc"), "inputs[0].data: expected a list"),
    (of_numbers(data=None), "inputs[0].data: required without binary_data_size"),
    (of_numbers(parameters={"binary_data_size": 12}), "inputs[0].data: cannot be combined with"),
    (of_numbers(data=None, parameters={"binary_data_size": 12}), "expected 12 bytes after"),
    (of_numbers(data=None, parameters={"binary_data_size": -1}), "binary_data_size"),
    (of_numbers(data=None, parameters={"binary_data_size": "1"}), "binary_data_size"),
    (of_numbers(parameters={"shared_memory_region": "a"}), "shared_memory_region: is not supp"),
    (of_numbers() | {"outputs": [{"name": "x"}]}, "outputs[0].name: expected 'output'"),
    (
        of_numbers() | {"outputs": [{"name": "output", "parameters": {"classification": 1}}]},
        "outputs[0].parameters.classification: is not supported",
    ),
    (of_numbers() | {"parameters": {"top_k": 1}}, "parameters.top_k: is not supported"),
    (of_numbers() | {"parameters": {"priority": 11}}, "parameters.priority: "),
    (of_numbers() | {"parameters": {"priority": True}}, "parameters.priority: "),
    (of_numbers() | {"parameters": {"timeout": 0.5}}, "parameters.timeout: "),
    (of_numbers() | {"parameters": {"timeout": 10**12}}, "from 0 to 300000000 microseconds"),
    (of_numbers() | {"parameters": {"sequence_id": 7}}, "parameters.sequence_id: "),
    ({"inputs": []}, "inputs"),
    ({"inputs": of_numbers()["inputs"] * 2}, "inputs[1].name: 'input' is given twice"),
    ({}, "inputs"),
    ([], "body"),
]


async def test_an_invalid_tensor_is_refused_by_its_field(client: Client) -> None:
    for wrong, sentence in WRONG:
        assert sentence in (await ask(client, "numbers", wrong, status=400))["error"]


BINARY = {"name": "input", "shape": [1, 3], "datatype": "FP32"}


WRONG_BYTES: list[tuple[dict[str, Any], bytes, str]] = [
    (BINARY, bytes(11), "inputs[0]: expected 12 bytes for 3 elements of FP32, got 11"),
    (BINARY, np.array([1, np.nan, 3], np.float32).tobytes(), "inputs[0]: expected finite numbers"),
    (BINARY | {"datatype": "BOOL"}, b"\0\1\2", "inputs[0]: expected 0 or 1"),
]
WRONG_TEXTS = [
    (b"\3\0\0\0ab", "inputs[0]: the data ends within element 0"),
    (b"\1\0", "inputs[0]: the data ends within element 0"),
    (b"\xff\xff\xff\xffa", "inputs[0]: the data ends within element 0"),
    (b"\1\0\0\0a", "expected 2 elements of BYTES, each preceded by its length; got 1"),
    (b"\1\0\0\0a" * 3, "got 2 and further bytes"),
    (b"", "got 0"),
    (b"\1\0\0\0\xff" * 2, "inputs[0].data[0]: expected UTF-8"),
]


async def test_bytes_that_do_not_fit_the_shape_and_type_are_refused(client: Client) -> None:
    for given, data, sentence in WRONG_BYTES:
        answer = await ask_in_bytes(client, "numbers", given, data, status=400)
        assert sentence in answer["error"]
    given = {"name": "text", "shape": [2], "datatype": "BYTES"}
    for data, sentence in WRONG_TEXTS:
        answer = await ask_in_bytes(client, "vectors", given, data, status=400)
        assert sentence in answer["error"]


async def test_huge_shapes_with_few_bytes_cost_nothing(client: Client) -> None:
    """Neither of these is multiplied out by anything that overflows, or set aside."""
    for shape in ([1, 2**31, 2**31, 4], [1, 2**62, 2**62], [1, 5_000_001]):
        given = {"name": "input", "shape": shape, "datatype": "INT8"}
        model = "echo" if len(shape) == 2 else "numbers"
        await ask_in_bytes(client, model, given, b"\0", status=413 if model == "echo" else 400)


async def ask_in_bytes(
    client: Client, model: str, tensor: dict[str, Any], data: bytes, status: int = 200
) -> Any:
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(data)}}]})
    headers = {"Inference-Header-Content-Length": str(len(head))}
    url = f"/v2/models/{model}/infer"
    response = await client.post(url, data=head.encode() + data, headers=headers)
    answer = await response.json()
    assert response.status == status, answer
    return answer


async def test_the_length_of_the_json_is_a_number_within_the_body(client: Client) -> None:
    for length in ("x", "-1", "9999", "²", "1" * 30, ""):
        headers = {"Inference-Header-Content-Length": length}
        answer = await ask(client, "numbers", of_numbers(), status=400, headers=headers)
        assert "Inference-Header-Content-Length: " in answer["error"]


async def test_bytes_that_belong_to_no_tensor_are_refused(client: Client) -> None:
    head = json.dumps(of_numbers())
    headers = {"Inference-Header-Content-Length": str(len(head))}
    url = "/v2/models/numbers/infer"
    response = await client.post(url, data=head + "more", headers=headers)
    assert response.status == 400
    assert "body: expected 0 bytes after the JSON" in (await response.json())["error"]


async def test_the_row_that_is_refused_is_named(client: Client, torchserve: FakeTorchServe) -> None:
    def answer(text: str) -> list[float]:
        if text == "bad":
            raise Refuse(400, "is too bad")
        return [1.0]

    torchserve.answer = answer
    refusal = await ask(client, "vectors", of_texts("text", ["good", "bad"]), status=400)
    assert refusal["error"] == "The model cannot take this input (text[1]: is too bad)"


async def test_bytes_that_are_no_text_are_answered_in_bytes_alone(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: Spoken(bytes(4800))
    refusal = await ask(client, "voice", of_texts("text", ["Hello."]), status=400)
    assert "audio: the output is not UTF-8 text; request it with binary_data" in refusal["error"]


async def test_a_model_or_version_that_is_not_there_is_not_found(client: Client) -> None:
    await ask(client, "nobody", of_numbers(), status=404)
    response = await client.post("/v2/models/numbers/versions/9.9/infer", json=of_numbers())
    assert response.status == 404
    assert "has no version 9.9" in (await response.json())["error"]
    response = await client.post("/v2/models/numbers/versions/1.0/infer", json=of_numbers())
    assert response.status == 200


async def test_a_body_that_is_not_json_is_refused(client: Client) -> None:
    response = await client.post("/v2/models/numbers/infer", data=b"{")
    assert response.status == 400
    assert "not valid JSON" in (await response.json())["error"]


async def test_inferences_are_counted_as_all_others_are(client: Client) -> None:
    await ask(client, "numbers", of_numbers(shape=[2, 3], data=[0] * 6))
    await ask(client, "numbers", of_numbers(name="x"), status=400)
    statistics = the_program(client).statistics
    assert statistics.finished == 2
    metrics = await (await client.get("/metrics")).text()
    route = 'route="/v2/models/{name}/infer"'
    assert f'sidecar_requests_total{{{route},status="200"}} 1.0' in metrics
    assert f'sidecar_requests_total{{{route},status="400"}} 1.0' in metrics


async def test_the_credential_is_asked_for_as_everywhere(start_models: StartSidecar) -> None:
    client = await start_models(require_authentication=True)
    await ask(client, "numbers", of_numbers(), status=401)
    await ask(client, "numbers", of_numbers(), headers=bearer("stats", SECRET))
    await ask(client, "numbers", of_numbers(), status=401, headers={"Authorization": "Bearer x"})
