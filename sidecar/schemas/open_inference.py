"""The requests and answers of the Open Inference Protocol, version 2."""

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
        description="The elements, flat or nested according to the shape; omitted if binary",
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
    """Whether the model answers requests, at once or after it has been woken."""

    name: str
    ready: bool


class TensorFacts(msgspec.Struct, frozen=True):
    """A tensor of a model.  A dimension of -1 varies in size or is not known."""

    name: str
    datatype: Datatype
    shape: Shape


class ModelMetadata(msgspec.Struct):
    """The versions of a model, and which tensors it takes and returns."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorFacts]
    outputs: list[TensorFacts]


class InputTensor(msgspec.Struct, frozen=True):
    """One tensor.  The parameter *binary_data_size* says that its bytes follow the JSON."""

    name: TensorName
    shape: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1, max_length=16)]
    datatype: Datatype
    parameters: dict[str, Parameter] = {}
    data: Data | msgspec.UnsetType = msgspec.UNSET


class RequestedOutput(msgspec.Struct, frozen=True):
    """A requested output.  The parameter *binary_data* asks for it as bytes after the JSON."""

    name: TensorName
    parameters: dict[str, Parameter] = {}


class InferRequest(msgspec.Struct, frozen=True):
    """Tensors for one model.  Without *outputs*, the answer has all of them."""

    inputs: Annotated[tuple[InputTensor, ...], Meta(min_length=1, max_length=MOST_TENSORS)]
    id: Annotated[str, Meta(max_length=MOST_ID_LENGTH, description="Repeated in the answer")] = ""
    parameters: Parameters = {}
    outputs: Annotated[tuple[RequestedOutput, ...], Meta(max_length=MOST_TENSORS)] = ()


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """One tensor of the answer.  *data* is a flat list; binary data follows the JSON instead."""

    name: str
    datatype: Datatype
    shape: Shape
    parameters: dict[str, Parameter] = {}
    data: Data | msgspec.UnsetType = msgspec.UNSET


class InferResponse(msgspec.Struct, omit_defaults=True):
    """The outputs of the model."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""


class IndexRequest(msgspec.Struct, frozen=True):
    """POST /v2/repository/index"""

    ready: Annotated[bool, Meta(description="Only those that answer")] = False
    token: Annotated[str | None, Meta(description="Beats the headers")] = None


class IndexedModel(msgspec.Struct):
    """A model of the catalog.  *reason* says why it is not ready."""

    name: str
    version: str
    state: RepositoryState
    reason: str


class RepositoryRequest(msgspec.Struct, frozen=True):
    """A request to load or unload a model.  Its configuration and files cannot be sent."""

    parameters: dict[str, Any] = {}
    token: Annotated[str | None, Meta(description="Beats the headers")] = None


class RepositoryChange(msgspec.Struct):
    """An empty answer: the change was made."""
