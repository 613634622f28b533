"""The Open Inference Protocol, version 2: what comes in and what goes out."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

RepositoryState = Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]
MOST_ID_LENGTH = 256
MOST_TENSORS = 16  # in one request

Shape = tuple[int, ...]
Parameter = bool | int | float | str
TensorName = Annotated[str, Meta(min_length=1, max_length=128)]
Parameters = Annotated[
    dict[str, Parameter],
    Meta(
        description=(
            "`priority` (0 to 10, higher goes first), `timeout` (in microseconds), "
            "`binary_data_output`, and the model's own parameters"
        )
    ),
]
Data = Annotated[
    msgspec.Raw,
    Meta(
        description="The elements, flat or nested as the shape says; left out if binary",
        extra_json_schema={"type": "array"},
    ),
]
Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BF16",
    "BYTES",
]


class OpenInferenceError(msgspec.Struct):
    """What is wrong, in one sentence that names the field."""

    error: str


class ServerMetadata(msgspec.Struct):
    """GET /v2"""

    name: str
    version: str
    extensions: list[str]


class ServerLive(msgspec.Struct):
    """GET /v2/health/live"""

    live: bool


class ServerReady(msgspec.Struct):
    """GET /v2/health/ready"""

    ready: bool


class ModelReady(msgspec.Struct):
    """Whether a request to this model is answered, at once or after a wake."""

    name: str
    ready: bool


class TensorFacts(msgspec.Struct, frozen=True):
    """A tensor of a model.  -1 stands for a dimension whose size differs, or is not known."""

    name: str
    datatype: Datatype
    shape: Shape


class ModelMetadata(msgspec.Struct):
    """Which tensors a model takes and answers, and its versions."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorFacts]
    outputs: list[TensorFacts]


class InputTensor(msgspec.Struct, frozen=True):
    """One tensor.  *binary_data_size* of its parameters: its bytes follow the JSON."""

    name: TensorName
    shape: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1, max_length=16)]
    datatype: Datatype
    parameters: dict[str, Parameter] = {}
    data: Data | msgspec.UnsetType = msgspec.UNSET


class RequestedOutput(msgspec.Struct, frozen=True):
    """A requested output.  *binary_data* of its parameters: as bytes after the JSON."""

    name: TensorName
    parameters: dict[str, Parameter] = {}


class InferRequest(msgspec.Struct, frozen=True):
    """Tensors for one model.  Without *outputs*, all of them are answered."""

    inputs: Annotated[tuple[InputTensor, ...], Meta(min_length=1, max_length=MOST_TENSORS)]
    id: Annotated[str, Meta(max_length=MOST_ID_LENGTH, description="Repeated in the answer")] = ""
    parameters: Parameters = {}
    outputs: Annotated[tuple[RequestedOutput, ...], Meta(max_length=MOST_TENSORS)] = ()


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """One tensor of the answer.  *data* is flat; binary data follows the JSON instead."""

    name: str
    datatype: Datatype
    shape: Shape
    parameters: dict[str, Parameter] = {}
    data: Data | msgspec.UnsetType = msgspec.UNSET


class InferResponse(msgspec.Struct, omit_defaults=True):
    """What the model made of the tensors."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""


class IndexRequest(msgspec.Struct, frozen=True):
    """POST /v2/repository/index"""

    ready: Annotated[bool, Meta(description="Only those that answer")] = False
    token: Annotated[str | None, Meta(description="Beats the headers")] = None


class IndexedModel(msgspec.Struct):
    """A model of the catalog.  *reason*: why it is not ready."""

    name: str
    version: str
    state: RepositoryState
    reason: str


class RepositoryRequest(msgspec.Struct, frozen=True):
    """Loads or unloads a model.  A configuration or files for it cannot be sent."""

    parameters: dict[str, Any] = {}
    token: Annotated[str | None, Meta(description="Beats the headers")] = None


class RepositoryChange(msgspec.Struct):
    """The change was made: there is nothing more to tell."""
