"""Conversion of a request's tensors to a model's inputs, and of its results to tensors.

The first dimension of every tensor is the number of inputs.  Each input becomes one queue entry,
which is batched with those of other requests.
"""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from sidecar.errors import InvalidFields, InvalidInput, SidecarError
from sidecar.models.model import Model
from sidecar.open_inference.datatypes import BYTES, NUMBER_TYPES
from sidecar.open_inference.elements import Elements, Numbers, encode_numbers
from sidecar.open_inference.parameters import refuse_others
from sidecar.open_inference.signature import ANY, Signature
from sidecar.scheduling.entry import Reply
from sidecar.schemas.open_inference import Datatype, Parameter, TensorFacts

CONTENT_TYPE = "content_type"  # a parameter of inputs for custom handlers
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,64}/[\w.+-]{1,64}(; ?charset=[\w-]{1,32})?", re.ASCII)
_DATA_URI = re.compile(rb'"data:[^,"\\]*;base64,(?P<data>[A-Za-z0-9+/=]*)"')
_TEXT_TASKS = frozenset(
    {
        "embedding",
        "text_classification",
        "token_classification",
        "fill_mask",
        "zero_shot_classification",
        "text_generation",
        "summarization",
        "text2text_generation",
        "speech_synthesis",
    }
)
_FILES: Mapping[str, str] = {  # the tasks whose inputs are files, with the field of /predict
    "image_classification": "image",
    "speech_recognition": "audio",
    "voice_activity": "audio",
}
_encode = msgspec.json.Encoder().encode


class Tensor(NamedTuple):
    """A tensor with its elements.  *field* is its name in errors: ``inputs[0]``."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    elements: Elements
    parameters: Mapping[str, Parameter] = {}
    field: str = "inputs[0]"


def check_names(names: Sequence[str], signature: Signature) -> None:
    """Raise InvalidFields unless *names* has exactly the name of the model's only input."""
    for place, name in enumerate(names):
        if name != signature.input.name:
            raise InvalidFields(
                f"expected {signature.input.name!r}, the model's input; got {name!r}",
                field=f"inputs[{place}].name",
            )
        if place:
            raise InvalidFields(f"{name!r} is given twice", field=f"inputs[{place}].name")


def check_input(facts: TensorFacts, model: Model, tensor: Any, most: int, field: str) -> None:
    """Check the datatype and the shape of *tensor*, whose elements have not been read.

    *most* is the largest number of inputs in a request.  Raises InvalidFields.
    """
    expected, got = facts.datatype, tensor.datatype
    takes = (
        got == BYTES
        if expected == BYTES
        else got != BYTES and (NUMBER_TYPES[got].is_whole or not NUMBER_TYPES[expected].is_whole)
    )
    if not takes:
        kind = expected if expected == BYTES else f"{expected} or a type that converts to it"
        raise InvalidFields(f"expected {kind}; got {got}", field=f"{field}.datatype")
    wanted, shape = list(facts.shape), list(tensor.shape)
    if expected == BYTES and len(shape) == 2 and shape[1] == 1:
        shape = shape[:1]  # Triton's batches of texts have two dimensions; accept its clients
    if model.spec.handler_options.get("input", {}).get("fit") == "pad_or_cut":
        wanted = [ANY, ANY]
    fits = len(shape) == len(wanted) and all(
        one in (ANY, other) for one, other in zip(wanted, shape, strict=False)
    )
    if not fits:
        raise InvalidFields(
            f"expected {list(facts.shape)}, got {list(tensor.shape)}", field=f"{field}.shape"
        )
    if shape[0] > most:
        raise InvalidFields(
            f"expected at most {most} inputs in a request, got {shape[0]}", field=f"{field}.shape"
        )


def bodies_of(model: Model, tensor: Tensor, of_model: dict[str, Parameter]) -> list[bytes]:
    """Return the inputs in *tensor* in the form of /predict, with the model's parameters.

    Raises InvalidFields and InvalidInput.
    """
    task = model.spec.task
    if isinstance(tensor.elements, list):
        given = dict(tensor.parameters)
        media_type = given.pop(CONTENT_TYPE, None) if model.spec.is_own else None
        refuse_others(given, f"{tensor.field}.parameters")
        if task in _TEXT_TASKS:
            return [
                _with_parameters("text", _text(each, tensor, row), of_model)
                for row, each in enumerate(tensor.elements)
            ]
        if task == "voice_activity":
            refuse_others(of_model, "parameters")
        if task in _FILES:
            return [
                _with_parameters(_FILES[task], base64.b64encode(each).decode(), of_model)
                for each in tensor.elements
            ]
        refuse_others(of_model, "parameters")
        if model.spec.is_own:
            head = f"data:{_media_type(media_type, tensor)};base64,"
            return [_encode(head + base64.b64encode(each).decode()) for each in tensor.elements]
        return [_json(each, tensor, row) for row, each in enumerate(tensor.elements)]
    refuse_others(tensor.parameters, f"{tensor.field}.parameters")
    refuse_others(of_model, "parameters")
    return _rows(tensor.elements, tensor)


def _rows(numbers: Numbers, tensor: Tensor) -> list[bytes]:
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        raise InvalidFields("expected finite numbers", field=tensor.field)
    if numbers.dtype.kind == "b":
        numbers = numbers.astype(np.uint8)
    return [encode_numbers(row) for row in numbers.reshape(tensor.shape)]


def _with_parameters(name: str, value: str, of_model: dict[str, Parameter]) -> bytes:
    return _encode({name: value, "parameters": of_model} if of_model else value)


def _text(element: bytes, tensor: Tensor, row: int) -> str:
    try:
        return element.decode()
    except UnicodeDecodeError as exc:
        raise InvalidInput("expected UTF-8", field=f"{tensor.field}.data[{row}]") from exc


def _json(element: bytes, tensor: Tensor, row: int) -> bytes:
    try:
        return bytes(msgspec.json.decode(element, type=msgspec.Raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidInput(
            f"expected JSON, the input as for /predict: {exc}", field=f"{tensor.field}.data[{row}]"
        ) from exc


def _media_type(given: Parameter | None, tensor: Tensor) -> str:
    if given is None:
        return "application/octet-stream"
    if not isinstance(given, str) or not _MEDIA_TYPE.fullmatch(given):
        raise InvalidFields(
            f"expected a media type such as application/json, got {given!r}"[:200],
            field=f"{tensor.field}.parameters.{CONTENT_TYPE}",
        )
    return given


def replies_of(outcomes: Sequence[Reply | SidecarError], tensor: str) -> list[Reply]:
    """Return the replies.  Raises the first error: the protocol has no errors of single inputs.

    An error that concerns an input names its row of *tensor*.
    """
    for row, outcome in enumerate(outcomes):
        if isinstance(outcome, SidecarError):
            field = outcome.field
            if field == "inputs" or (field or "").startswith("inputs."):
                field = f"{tensor}[{row}]{(field or '').removeprefix('inputs')}"
            raise outcome.renamed(field).with_traceback(None)
    return [outcome for outcome in outcomes if isinstance(outcome, Reply)]


def outputs_of(
    model: Model, signature: Signature, wanted: Sequence[str], replies: Sequence[Reply]
) -> list[Tensor]:
    """Return the outputs called *wanted*, or all if it is empty."""
    names = wanted or [facts.name for facts in signature.outputs]
    chosen = [facts for name in names if (facts := signature.output(name)) is not None]
    if signature.outputs[0].datatype != BYTES:  # a model that returns numbers returns nothing else
        return [_numbers(facts, replies) for facts in chosen]
    columns = _columns(model, replies)
    return [_column(facts, columns[facts.name]) for facts in chosen]


def _numbers(facts: TensorFacts, replies: Sequence[Reply]) -> Tensor:
    """Return the rows that handlers return as nested lists or as a single number."""
    kind = NUMBER_TYPES[facts.datatype].read_as
    rows = [np.atleast_1d(np.array(msgspec.json.decode(each.body), kind)) for each in replies]
    if len({row.shape for row in rows}) > 1:
        shapes = sorted({str(list(row.shape)) for row in rows})
        raise InvalidInput(
            f"the results differ in shape ({' and '.join(shapes)}): send each input on its own",
            field="inputs",
        )
    return Tensor(
        facts.name,
        facts.datatype,
        (len(rows), *rows[0].shape),
        np.concatenate([row.reshape(-1) for row in rows]),
    )


def _columns(model: Model, replies: Sequence[Reply]) -> dict[str, list[Any]]:
    """Return the value of each reply, by output."""
    task, bodies = model.spec.task, [each.body for each in replies]
    if task == "own":
        return {"body": [_own_body(body) for body in bodies]}
    results = [msgspec.json.decode(body) for body in bodies]
    match task:
        case "text_classification" | "zero_shot_classification" | "image_classification":
            return {
                name: [[each[name] for each in result] for result in results]
                for name in ("label", "score")
            }
        case "text_generation" | "summarization" | "text2text_generation":
            return {"generated_text": [result["generated_text"] for result in results]}
        case "speech_synthesis":
            return {
                "audio": [base64.b64decode(result["audio_data"]) for result in results],
                "sample_rate": [result["sample_rate"] for result in results],
            }
        case "speech_recognition":
            return {"text": [result["text"] for result in results], "result": bodies}
    return {"result": bodies}


def _own_body(body: bytes) -> bytes:
    """Return JSON as it is, and other media as their bytes, which /predict puts in a data URI."""
    wrapped = _DATA_URI.fullmatch(body)
    return body if wrapped is None else base64.b64decode(wrapped["data"])


def _column(facts: TensorFacts, rows: list[Any]) -> Tensor:
    shape: tuple[int, ...] = (len(rows),)
    if len(facts.shape) == 2:
        lengths = {len(row) for row in rows}
        if len(lengths) > 1:
            raise InvalidInput(
                "the results differ in length: send each input on its own", field="inputs"
            )
        shape = (len(rows), lengths.pop())
        rows = [each for row in rows for each in row]
    assert len(rows) == math.prod(shape)
    if facts.datatype == BYTES:
        elements: Elements = [each.encode() if isinstance(each, str) else each for each in rows]
    else:
        elements = np.array(rows, NUMBER_TYPES[facts.datatype].read_as)
    return Tensor(facts.name, facts.datatype, shape, elements)
