"""The handler's half of the job format.  `sidecar.scheduling.job_format` is the dispatcher's.

Jobs and their answers have the same layout: ``\\x00JOB``, the length of the header as an unsigned
32-bit big-endian number, the header as JSON, and the bodies of the items one after another, with
the lengths given in the header.
"""

import re
import struct
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from handler_kit.memory import MemoryUse

CONTENT_TYPE = "application/octet-stream"
VERSION = 1
MAGIC = b"\x00JOB"
_PREFIX = struct.Struct(">4sI")


class MalformedJob(ValueError):
    """Bytes that start like a job but are not one."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One input.  *value* is set if TorchServe has already parsed the body."""

    id: str = ""
    type: str = "json"
    parameters: dict[str, Any] = {}
    traceparent: str | None = None
    request_id: str | None = None
    body: bytes = b""
    value: Any = msgspec.UNSET


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One item's answer: a body, or an error and a status other than 200."""

    body: bytes = b""
    status: int = 200
    error: str | None = None
    field: str | None = None  # the field that the error is about; None: the input as a whole
    rule: str | None = None  # the error without its field, if it has one
    type: str = "json"
    parameters: dict[str, Any] = {}  # needed to read *body*
    forward_pass: int = 0  # how many items shared the item's forward pass
    cause: str | None = None  # of an internal error; for the sidecar's log, not for clients


class Timings(msgspec.Struct):
    """How long the steps of the handler took, in milliseconds.  Filled in as they end."""

    decode_ms: float = 0.0
    forward_ms: float = 0.0
    encode_ms: float = 0.0


class RunBy(msgspec.Struct, frozen=True, kw_only=True):
    """What ran a job.  *worker* is a process id, *memory* its use of memory, if it was measured."""

    device: str
    precision: str
    worker: int
    model_version: str = ""
    memory: MemoryUse | msgspec.UnsetType = msgspec.UNSET


class _ItemHeader(msgspec.Struct):
    id: str
    length: Annotated[int, Meta(ge=0)]
    type: str = "json"
    parameters: dict[str, Any] = {}
    traceparent: str | None = None
    request_id: str | None = None


class _JobHeader(msgspec.Struct):
    version: int
    items: list[_ItemHeader]


class _AnswerHeader(msgspec.Struct, omit_defaults=True):
    id: str
    length: int
    status: int = 200
    error: str | None = None
    field: str | None = None
    rule: str | None = None
    type: str = "json"
    parameters: dict[str, Any] = {}
    forward_pass: int = 0
    cause: str | None = None


class _JobAnswerHeader(msgspec.Struct):
    version: int
    items: list[_AnswerHeader]
    device: str
    precision: str
    worker: int
    timings: Timings
    memory: MemoryUse | msgspec.UnsetType = msgspec.UNSET


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_JobHeader)


def is_job(data: bytes | bytearray) -> bool:
    """Return whether *data* claims to be a job.  No JSON text starts with a zero byte."""
    return data.startswith(MAGIC)


def read_job(data: bytes | bytearray) -> list[Item]:
    """Return the job's items in order.  Raises MalformedJob for anything that is not a job."""
    view = memoryview(data)
    try:
        magic, header_length = _PREFIX.unpack_from(view)
        start = _PREFIX.size + header_length
        header = _decoder.decode(view[_PREFIX.size : start])
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedJob(f"unreadable header: {type(exc).__name__}") from exc
    if magic != MAGIC or header.version != VERSION:
        raise MalformedJob(f"expected a job of version {VERSION}")
    if start + sum(item.length for item in header.items) != len(data):
        raise MalformedJob("the bodies are not as long as the header says")
    items = []
    for item in header.items:
        body = bytes(view[start : start + item.length])
        start += item.length
        items.append(
            Item(
                id=item.id,
                type=item.type,
                parameters=item.parameters,
                traceparent=_matching(_TRACEPARENT, item.traceparent),
                request_id=_matching(_REQUEST_ID, item.request_id),
                body=body,
            )
        )
    return items


def _matching(grammar: re.Pattern[str], text: str | None) -> str | None:
    """Return *text* if it matches *grammar*, else None: jobs may come from other clients."""
    return text if text is not None and grammar.fullmatch(text) else None


def write_answer(
    items: Sequence[Item], answers: Sequence[Answer], run_by: RunBy, timings: Timings
) -> bytes:
    """Return the answer to a job.  *answers* are those of *items*, in the same order."""
    headers = [
        _AnswerHeader(
            id=item.id,
            length=len(answer.body),
            status=answer.status,
            error=answer.error,
            field=answer.field,
            rule=answer.rule,
            type=answer.type,
            parameters=answer.parameters,
            forward_pass=answer.forward_pass,
            cause=answer.cause,
        )
        for item, answer in zip(items, answers, strict=True)
    ]
    header = _encoder.encode(
        _JobAnswerHeader(
            VERSION,
            headers,
            run_by.device,
            run_by.precision,
            run_by.worker,
            timings,
            run_by.memory,
        )
    )
    bodies = (answer.body for answer in answers)
    return b"".join((_PREFIX.pack(MAGIC, len(header)), header, *bodies))
