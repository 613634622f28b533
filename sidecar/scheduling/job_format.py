"""The job format, the dispatcher's half.  `handler_kit.job` is the handler's.

Bytes, both ways: ``\\x00JOB``, the header's length as an unsigned 32-bit big-endian number, the
header as JSON, then the items' bodies one after another, each as long as its header says.  Bodies
stay the bytes that the client sent: the bad bytes of one client spoil only one item.
"""

import struct
from collections.abc import Sequence
from typing import Any

import msgspec

CONTENT_TYPE = "application/octet-stream"
VERSION = 1
MAGIC = b"\x00JOB"
_PREFIX = struct.Struct(">4sI")


class ItemHeader(msgspec.Struct, omit_defaults=True):
    """One item on its way to the handler.  *length* is in bytes."""

    id: str
    length: int
    type: str = "json"
    parameters: dict[str, Any] = {}
    traceparent: str | None = None
    request_id: str | None = None


class _JobHeader(msgspec.Struct):
    version: int
    items: Sequence[ItemHeader]


class AnswerHeader(msgspec.Struct):
    """One item on its way back.  *forward_pass* counts the items that shared its pass."""

    id: str
    length: int
    status: int = 200
    error: str | None = None
    field: str | None = None  # of the input or its parameters, which the error is about
    rule: str | None = None  # the error without its field, where it has one
    type: str = "json"
    parameters: dict[str, Any] = {}  # what a reader of the body has to know
    forward_pass: int = 0
    cause: str | None = None  # of an error that is the model's own, for the log alone


class Timings(msgspec.Struct):
    """Where the handler's time went, in milliseconds."""

    decode_ms: float = 0.0
    forward_ms: float = 0.0
    encode_ms: float = 0.0


class WorkerMemory(msgspec.Struct, frozen=True):
    """Bytes that a worker measured of itself.  *gpu*: the index of its GPU, None without one.

    *gpu_reserved_bytes* is what torch took from the driver: all but CUDA's own context.
    """

    rss_bytes: int
    gpu: int | None = None
    gpu_allocated_bytes: int = 0
    gpu_reserved_bytes: int = 0


class JobAnswerHeader(msgspec.Struct):
    """The answer's header: what ran the job, and how each item fared.

    *memory* is told about once a second.
    """

    version: int
    items: list[AnswerHeader]
    device: str
    precision: str
    worker: int = 0  # process id
    timings: Timings = msgspec.field(default_factory=Timings)
    memory: WorkerMemory | None = None
    model_version: str = ""


class MalformedAnswer(Exception):
    """TorchServe answered 200 with something that is not a job answer."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(JobAnswerHeader)


def encode_job(items: Sequence[ItemHeader], bodies: Sequence[bytes | memoryview]) -> bytes:
    """Return one job as bytes.  *bodies* lie beside *items*, in order."""
    header = _encoder.encode(_JobHeader(VERSION, items))
    return b"".join((_PREFIX.pack(MAGIC, len(header)), header, *bodies))


def decode_answer(data: bytes, expected: int) -> tuple[JobAnswerHeader, list[bytes]]:
    """Return the answer's header and the items' bodies, *expected* of each, in the job's order.

    Raises MalformedAnswer when *data* is anything else.
    """
    try:
        magic, header_length = _PREFIX.unpack_from(data)
        start = _PREFIX.size + header_length
        header = _decoder.decode(data[_PREFIX.size : start])
    except (struct.error, msgspec.DecodeError, RecursionError) as exc:
        raise MalformedAnswer(f"unreadable header: {type(exc).__name__}") from exc
    if magic != MAGIC or header.version != VERSION:
        raise MalformedAnswer("not a job answer of this version")
    if len(header.items) != expected:
        raise MalformedAnswer(f"{len(header.items)} answers to {expected} items")
    bodies = []
    for item in header.items:
        if item.length < 0:
            raise MalformedAnswer("an item of negative length")
        bodies.append(data[start : start + item.length])
        start += item.length
    if start != len(data):
        raise MalformedAnswer("the bodies' lengths do not add up")
    return header, bodies
