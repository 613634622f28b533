"""POST …/infer over HTTP: JSON, or JSON followed by the tensors' bytes.

With the binary tensor data extension, the bytes of the tensors follow the JSON in the same order.
The header Inference-Header-Content-Length gives the length of the JSON.

A custom handler may know the protocol itself, or by TorchServe's envelope `kservev2`.  Then its
tensors have names of their own, and it gets the whole request.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import hdrs, web
from multidict import istr

from sidecar.errors import InvalidFields, InvalidInput, InvalidJson
from sidecar.models.model import Model
from sidecar.open_inference.elements import from_bytes, from_json, to_bytes, to_json
from sidecar.open_inference.exchange import Tensor
from sidecar.open_inference.parameters import read_flag, read_parameters, refuse_others
from sidecar.open_inference.signature import signature_of
from sidecar.routes.handler_requests import PARTS as HANDLERS
from sidecar.routes.handler_requests import answer as answer_of_handler
from sidecar.routes.handler_requests import read_body
from sidecar.routes.open_inference.inference import (
    DeclaredTensor,
    InferAnswer,
    InferCall,
    beside_others,
    infer_tensors,
)
from sidecar.routes.predict import PARTS
from sidecar.scheduling.entry import NUMBER_BYTES
from sidecar.schemas.open_inference import (
    InferRequest,
    InferResponse,
    InputTensor,
    OutputTensor,
    RequestedOutput,
)
from sidecar.web import request_head
from sidecar.web.admission import ADMISSION, CALL
from sidecar.web.body import NOT_JSON, invalid_fields
from sidecar.web.json_budget import SMALL_BYTES, JsonBudget
from sidecar.web.route import Route, json_response
from sidecar.web.turns import take_break

JSON_LENGTH = istr("Inference-Header-Content-Length")
SIZE = "binary_data_size"
_request = msgspec.json.Decoder(InferRequest)


class _Named(msgspec.Struct):
    name: str


class _Names(msgspec.Struct):
    inputs: list[_Named]


_names = msgspec.json.Decoder(_Names)
_encode = msgspec.json.Encoder().encode


async def infer(request: web.Request) -> web.StreamResponse:
    """Run the model on the tensors and answer with its outputs."""
    admission, call, place = request[ADMISSION], request[CALL], request.match_info
    body = await read_body(admission)
    length = _json_length(request, len(body))
    await _count_values(memoryview(body)[:length], admission.settings.max_json_values)
    model = request.app[HANDLERS].models.find(place["name"])
    if model is not None and _knows_the_protocol(model, body) and "version" not in place:
        path = f"/v2/models/{model.key}/infer"
        response = await answer_of_handler(request, model, place["name"], path, body)
        call.inputs, call.success = 1, response.status < 400
        return response
    asked = _decoded(memoryview(body)[:length])
    await take_break(length)
    parameters = read_parameters(asked.parameters, admission.settings.max_timeout_seconds)
    binary = _binary_outputs(asked.outputs)
    answer = await infer_tensors(
        admission,
        call,
        request.app[PARTS],
        InferCall(
            place["name"],
            place.get("version"),
            _declared(asked.inputs, memoryview(body)[length:]),
            [output.name for output in asked.outputs],
            parameters,
            request_head.traceparent(request),
        ),
    )
    size = sum(len(each.elements) for each in answer.outputs)
    response = await beside_others(
        size * NUMBER_BYTES,
        lambda: _response(place["name"], asked, answer, binary, all_binary=parameters.binary),
    )
    call.success = True
    return response


async def infer_of_version(request: web.Request) -> web.StreamResponse:
    """Run this version of the model on the tensors and answer with its outputs."""
    return await infer(request)


async def explain(request: web.Request) -> web.StreamResponse:
    """Answer with what a custom handler explains of the whole request, as TorchServe does."""
    body, name = await read_body(request[ADMISSION]), request.match_info["name"]
    model = request.app[HANDLERS].models.require(name)
    if not model.spec.is_own:
        raise InvalidInput("this model explains nothing; custom handlers do", field="model_name")
    response = await answer_of_handler(request, model, name, f"/explanations/{model.key}", body)
    request[CALL].inputs, request[CALL].success = 1, response.status < 400
    return response


def _knows_the_protocol(model: Model, body: bytes) -> bool:
    """Return whether the handler of *model* is to read the request itself, by its tensors' names.

    Those that we take apart for custom handlers have the name of their only tensor.
    """
    if not model.spec.is_own:
        return False
    try:
        named = _names.decode(body).inputs
    except NOT_JSON:
        return False
    return any(tensor.name != signature_of(model).input.name for tensor in named)


def _json_length(request: web.Request, size: int) -> int:
    """Return the length of the JSON in the body, in bytes.  The tensors' bytes follow it."""
    given = request.headers.get(JSON_LENGTH)
    if given is None:
        return size
    if not (given.isascii() and given.isdigit() and len(given) < 20 and int(given) <= size):
        raise InvalidFields(
            f"expected a number of bytes, at most the {size} of the body", field=str(JSON_LENGTH)
        )
    return int(given)


async def _count_values(body: memoryview, most: int) -> None:
    """Raise PayloadTooLarge for JSON with so many values that parsing takes too long."""
    if len(body) > SMALL_BYTES:
        budget = JsonBudget(most)
        for start in range(0, len(body), SMALL_BYTES):
            budget.count(bytes(body[start : start + SMALL_BYTES]))
            await take_break(len(body))


def _decoded(body: memoryview) -> InferRequest:
    try:
        return _request.decode(body)
    except msgspec.ValidationError as exc:
        raise invalid_fields(exc, InferRequest) from exc
    except NOT_JSON as exc:
        raise InvalidJson(str(exc), field="body") from exc


def _declared(inputs: Sequence[InputTensor], rest: memoryview) -> list[DeclaredTensor]:
    """Return *inputs*, each with its part of *rest*, the bytes after the JSON.

    Raises InvalidFields.
    """
    declared, begin = [], 0
    for place, tensor in enumerate(inputs):
        field, parameters = f"inputs[{place}]", dict(tensor.parameters)
        size = parameters.pop(SIZE, None)
        if size is None:
            declared.append(_in_json(tensor, parameters, field))
            continue
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise InvalidFields(
                f"expected a number of bytes, got {size!r}", field=f"{field}.parameters.{SIZE}"
            )
        if tensor.data is not msgspec.UNSET:
            raise InvalidFields(f"cannot be combined with {SIZE}", field=f"{field}.data")
        data = rest[begin : begin + size]
        if len(data) < size:
            raise InvalidFields(
                f"expected {size} bytes after the JSON, got {len(data)}",
                field=f"{field}.parameters.{SIZE}",
            )
        declared.append(_in_bytes(tensor, parameters, data, field))
        begin += size
    if begin < len(rest):
        raise InvalidFields(
            f"expected {begin} bytes after the JSON, for all tensors; got {len(rest)}",
            field="body",
        )
    return declared


def _in_json(tensor: InputTensor, parameters: dict[str, Any], field: str) -> DeclaredTensor:
    if tensor.data is msgspec.UNSET:
        raise InvalidFields(f"required without {SIZE}", field=f"{field}.data")
    data = memoryview(tensor.data)
    if data[0] != ord("["):
        raise InvalidFields("expected a list", field=f"{field}.data")
    return DeclaredTensor(
        tensor.name,
        tensor.datatype,
        tensor.shape,
        parameters,
        len(data),
        lambda _: from_json(data, tensor.datatype, tensor.shape, f"{field}.data"),
    )


def _in_bytes(
    tensor: InputTensor, parameters: dict[str, Any], data: memoryview, field: str
) -> DeclaredTensor:
    return DeclaredTensor(
        tensor.name,
        tensor.datatype,
        tensor.shape,
        parameters,
        len(data),
        lambda count: from_bytes(data, tensor.datatype, count, field),
    )


def _binary_outputs(outputs: Sequence[RequestedOutput]) -> dict[str, bool]:
    """Return the choice of binary or JSON of the outputs that make one.  Raises InvalidFields."""
    chosen = {}
    for place, output in enumerate(outputs):
        field, parameters = f"outputs[{place}].parameters", dict(output.parameters)
        if "binary_data" in parameters:
            chosen[output.name] = read_flag(parameters, "binary_data", field)
        refuse_others(parameters, field)
    return chosen


def _response(
    name: str,
    asked: InferRequest,
    answer: InferAnswer,
    binary: Mapping[str, bool],
    *,
    all_binary: bool,
) -> web.Response:
    chunks: list[bytes] = []
    outputs = []
    for tensor in answer.outputs:
        if binary.get(tensor.name, all_binary):
            chunks.append(to_bytes(tensor.elements))
            outputs.append(_output(tensor, parameters={SIZE: len(chunks[-1])}))
        else:
            outputs.append(_output(tensor, data=to_json(tensor.elements, tensor.name)))
    told = InferResponse(name, answer.version, outputs, asked.id)
    if not chunks:
        return json_response(told)
    head = _encode(told)
    return web.Response(
        body=b"".join([head, *chunks]),
        headers={
            hdrs.CONTENT_TYPE: "application/octet-stream",
            JSON_LENGTH: str(len(head)),
        },
    )


def _output(tensor: Tensor, **content: Any) -> OutputTensor:
    return OutputTensor(tensor.name, tensor.datatype, tensor.shape, **content)


_INFER: dict[str, Any] = {
    "request": InferRequest,
    "response": InferResponse,
    "other_media": ("application/octet-stream",),
    "statuses": (400, 401, 404, 413, 415, 422, 500, 503, 504),
    "credential": "optional",
    "measured_as": "inference",
    "example": {
        "inputs": [
            {
                "name": "input",
                "shape": [1, 10],
                "datatype": "FP32",
                "data": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            }
        ]
    },
}
ROUTES = [
    Route("POST", "/v2/models/{name}/infer", infer, "Run a model on tensors", **_INFER),
    Route(
        "POST",
        "/v2/models/{name}/versions/{version}/infer",
        infer_of_version,
        "Run one version on tensors",
        **_INFER,
    ),
    Route(
        "POST",
        "/v2/models/{name}/explain",
        explain,
        "Have a custom handler explain its answer to tensors",
        **_INFER | {"response": msgspec.Raw},
    ),
]
