"""Conversion between the protocol's messages and tensors."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sidecar.errors import InvalidFields
from sidecar.open_inference.datatypes import BYTES, NUMBER_TYPES
from sidecar.open_inference.elements import (
    MOST_DIMENSIONS,
    Elements,
    from_bytes,
    from_values,
    to_bytes,
)
from sidecar.open_inference.exchange import Tensor
from sidecar.open_inference.parameters import refuse_others
from sidecar.routes.open_inference.inference import DeclaredTensor
from sidecar.rpc import open_inference_pb2 as pb
from sidecar.schemas.open_inference import MOST_TENSORS, Datatype, TensorFacts

_CONTENTS: Mapping[str, str] = {  # by the type of the elements
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def parameters_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as Python values; one without a value is None."""
    found = {}
    for name, value in given.items():
        kind = value.WhichOneof("parameter_choice")
        found[name] = None if kind is None else getattr(value, kind)
    return found


def declared_tensors(request: pb.ModelInferRequest) -> list[DeclaredTensor]:
    """Return the inputs of *request*, without reading their elements.  Raises InvalidFields."""
    inputs, raw = request.inputs, request.raw_input_contents
    if not 0 < len(inputs) <= MOST_TENSORS:
        raise InvalidFields(f"expected 1 to {MOST_TENSORS} tensors", field="inputs")
    if raw and len(raw) != len(inputs):
        raise InvalidFields(
            f"expected {len(inputs)}, one for each input; got {len(raw)}",
            field="raw_input_contents",
        )
    return [
        _declared(tensor, raw[place] if raw else None, f"inputs[{place}]")
        for place, tensor in enumerate(inputs)
    ]


def _declared(
    tensor: pb.ModelInferRequest.InferInputTensor, raw: bytes | None, field: str
) -> DeclaredTensor:
    datatype = tensor.datatype
    if datatype != BYTES and datatype not in NUMBER_TYPES:
        names = ", ".join([*NUMBER_TYPES, BYTES])
        raise InvalidFields(
            f"expected one of: {names}; got {datatype!r}", field=f"{field}.datatype"
        )
    if len(tensor.shape) > MOST_DIMENSIONS:  # a message has room for millions
        raise InvalidFields(
            f"expected at most {MOST_DIMENSIONS} dimensions", field=f"{field}.shape"
        )
    if raw is not None and tensor.HasField("contents"):
        raise InvalidFields("cannot be combined with raw_input_contents", field=f"{field}.contents")

    def read(count: int) -> Elements:
        if raw is not None:
            return from_bytes(raw, datatype, count, field)
        return _from_contents(tensor.contents, datatype, count, field)

    return DeclaredTensor(
        tensor.name,
        cast("Datatype", datatype),
        tuple(tensor.shape),
        parameters_of(tensor.parameters),
        tensor.ByteSize() if raw is None else len(raw),
        read,
    )


def _from_contents(
    contents: pb.InferTensorContents, datatype: str, count: int, field: str
) -> Elements:
    name = _CONTENTS.get(datatype)
    if name is None:
        raise InvalidFields(f"{datatype} is accepted only in raw_input_contents", field=field)
    values = getattr(contents, name)
    if len(values) != count:
        raise InvalidFields(
            f"expected {count} elements, got {len(values)}", field=f"{field}.contents.{name}"
        )
    try:
        return from_values(values, datatype)
    except OverflowError as exc:
        raise InvalidFields(
            f"expected elements of {datatype}: {exc}", field=f"{field}.contents.{name}"
        ) from exc


def wanted_outputs(
    outputs: Sequence[pb.ModelInferRequest.InferRequestedOutputTensor],
) -> list[str]:
    """Return the names of the requested outputs.  Raises InvalidFields."""
    if len(outputs) > MOST_TENSORS:
        raise InvalidFields(f"expected at most {MOST_TENSORS} tensors", field="outputs")
    for place, output in enumerate(outputs):
        parameters = parameters_of(output.parameters)
        parameters.pop("binary_data", None)  # it concerns HTTP: over gRPC, no output is JSON
        refuse_others(parameters, f"outputs[{place}].parameters")
    return [output.name for output in outputs]


def put_outputs(response: pb.ModelInferResponse, outputs: Sequence[Tensor], *, raw: bool) -> None:
    """Add *outputs* to *response*: as raw bytes, or in the field for their datatype."""
    for tensor in outputs:
        put = response.outputs.add(
            name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape)
        )
        if raw:
            response.raw_output_contents.append(to_bytes(tensor.elements))
            continue
        values = tensor.elements
        getattr(put.contents, _CONTENTS[tensor.datatype]).extend(
            values if isinstance(values, list) else values.tolist()
        )


def tensor_metadata(facts: TensorFacts) -> pb.ModelMetadataResponse.TensorMetadata:
    """Return the message that describes a tensor."""
    return pb.ModelMetadataResponse.TensorMetadata(
        name=facts.name, datatype=facts.datatype, shape=list(facts.shape)
    )
