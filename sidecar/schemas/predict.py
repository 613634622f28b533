"""POST /predict: requests and answers."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sidecar.schemas.models import Version
from sidecar.schemas.priority import Priority


class PredictRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request for any model.  *inputs* stays the bytes that the client sent."""

    model_name: Annotated[
        str, Meta(min_length=1, max_length=256, description="Key, hub id or alias")
    ]
    inputs: Annotated[
        msgspec.Raw,
        Meta(
            description=(
                "One input (number, boolean, string, object, flat list of numbers) "
                "or a batch (list of lists, strings or objects)"
            ),
            extra_json_schema={
                "type": ["number", "boolean", "string", "object", "array"],
                "minItems": 1,
                "anyOf": [  # of a list: all its items are of one kind
                    {"items": {"type": kind}} for kind in ("number", "array", "string", "object")
                ],
                "examples": [[1, 2, 3, 4, 5]],
            },
        ),
    ]
    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None
    priority: Priority = 0
    timeout: Annotated[float, Meta(gt=0, description="Seconds from arrival")] = 30.0
    version: Annotated[Version | None, Meta(description="A loaded version; null: the default")] = (
        None
    )
    enable_batching: Annotated[bool, Meta(description="False: it runs alone in its job")] = True


class ModelInfo(msgspec.Struct):
    """What answered: *model* is the name that the client used, *device* where it ran.

    *version* is that of the model's archive.
    """

    model: str
    device: str
    input_type: Literal["single", "batch"]
    input_count: int
    version: str
    processing_path: Literal["optimized", "direct", "cached", "coalesced"]


class BatchInfo(msgspec.Struct):
    """How the request was run; *failed_count* is present if some inputs failed."""

    inflight_batching_enabled: bool
    processed_as_batch: bool
    concurrent_optimization: bool
    failed_count: int | msgspec.UnsetType = msgspec.UNSET


class PredictResponse(msgspec.Struct):
    """The result of one input, or a list with one result for each input of a batch."""

    success: bool
    result: msgspec.Raw
    processing_time: float
    model_info: ModelInfo
    batch_info: BatchInfo


class ErrorBody(msgspec.Struct):
    """Every error has these; some have `model_info` or `processing_time` too."""

    success: Literal[False]
    error: str
    detail: str
    status_code: int
