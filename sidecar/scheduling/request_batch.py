"""Batches of requests for custom handlers, as one request that our worker takes apart.

This is the sidecar's half; `torchserve/forked_workers/request_batches.py` is the worker's, and says
what the bytes are.
"""

import json
import marshal
import re
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from sidecar.scheduling.job_format import MalformedAnswer
from sidecar.torchserve.forwarding import ForwardedRequest

CONTENT_TYPE = "application/vnd.sidecar.requests"
PIECE, ANSWER = b"\x00PCE", b"\x00ANS"
OK = 200
TRACEPARENT = "traceparent"
HOST = ("Host", "torchserve")  # as for requests that are sent one by one
# What Java sets in every answer, whatever its handler says, so that no browser keeps one.
UNCACHED = {
    "pragma": ("Pragma", "no-cache"),
    "cache-control": ("Cache-Control", "no-cache; no-store, must-revalidate, private"),
    "expires": ("Expires", "Thu, 01 Jan 1970 00:00:00 UTC"),
}
_FRAME = struct.Struct(">4sId")
_INTEGER = struct.Struct("!i")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # of a header, RFC 9110
MAX_ANSWER_BYTES = 1 << 30  # to a whole batch: it comes in parts, which TorchServe does not add up
_PLACE_DIGITS = 12  # the last group of a UUID
_STATUSES = range(OK, 1000)
_KNOWN_STATUSES = frozenset(HTTPStatus)


class RequestAnswer(NamedTuple):
    """What a handler answers to one request."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


class BatchAnswer(NamedTuple):
    """What becomes of a batch, or a piece of it.  *answers* are those of its requests, by place.

    There are none where it failed as a whole: *code* and *message* say why.  *seconds* is the time
    that the worker took.
    """

    is_last: bool
    seconds: float
    code: int
    message: str
    answers: Mapping[int, RequestAnswer]

    def failure(self) -> RequestAnswer:
        """Return what TorchServe answers to each request of a batch that failed."""
        code = 507 if self.code == 413 else self.code
        code = code if code in _STATUSES else 503  # a handler's exception may say any number
        told = {"code": code, "type": "InternalServerException", "message": self.message}
        body = json.dumps(told, indent=2, ensure_ascii=False).encode() + b"\n"
        reason = HTTPStatus(code).phrase if code in _KNOWN_STATUSES else ""
        headers = [("Content-Type", "application/json"), *UNCACHED.values()]
        return RequestAnswer(code, reason, headers, body)


def encode_requests(
    requests: Sequence[ForwardedRequest], traceparents: Sequence[str | None]
) -> bytes:
    """Return a batch of *requests*, each with where it is in a trace, if it is in one."""
    packed = []
    for request_id, request, traceparent in zip(
        _new_ids(len(requests)), requests, traceparents, strict=True
    ):
        added, inputs = _added_by_java(request.path)
        # marshal takes no subclasses, such as multidict's for the names of headers.
        headers = [HOST, *((str(name), str(value)) for name, value in request.headers)]
        if traceparent is not None:
            headers = [each for each in headers if each[0].lower() != TRACEPARENT]
            headers.append((TRACEPARENT, traceparent))
        headers += [*added, ("content-length", str(len(request.body)))]
        packed.append((request_id, headers, inputs, bytes(request.body)))
    return marshal.dumps(packed)


@lru_cache(maxsize=256)
def _added_by_java(path: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the headers, and the inputs, that TorchServe makes of the *path* of a request.

    On its own paths these are headers: whether an explanation is asked for, and what stands behind
    the version.  On KServe's only the first, and on SageMaker's the query becomes inputs.
    """
    place, _, query = path.partition("?")
    parts = place.split("/", 4)
    match parts[1]:
        case "predictions" | "explanations":
            explains = ("explain", str(parts[1] == "explanations"))
            return [("url_path", unquote(parts[4]) if len(parts) > 4 else ""), explains], []
        case "v1" | "v2":
            return [("explain", str(place.endswith("explain")))], []
        case _:
            pairs = parse_qsl(query.replace(";", "&"), keep_blank_values=True)
            return [], [(name, value) for name, value in pairs if name]


def _new_ids(count: int) -> list[str]:
    """Return ids in the form of a UUID, as TorchServe's are; each ends with its place."""
    shared = str(uuid.uuid4())[:-_PLACE_DIGITS]
    return [f"{shared}{place:0{_PLACE_DIGITS}x}" for place in range(count)]


def _place_of(request_id: bytes) -> int:
    return int(request_id[-_PLACE_DIGITS:], 16)


class AnswerReader:
    """Cuts a worker's answers to a batch of *size* requests out of what arrives."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._data = bytearray()

    def read(self, data: bytes) -> Iterator[BatchAnswer]:
        """Yield the answers that *data* completes.  Raises MalformedAnswer."""
        self._data += data
        while len(self._data) >= _FRAME.size:
            kind, length, seconds = _FRAME.unpack_from(self._data)
            if kind not in (PIECE, ANSWER):
                raise MalformedAnswer("not the answer to a batch of requests")
            if length > MAX_ANSWER_BYTES:
                raise MalformedAnswer(f"{length} bytes, expected at most {MAX_ANSWER_BYTES}")
            end = _FRAME.size + length
            if len(self._data) < end:
                return
            answer = bytes(memoryview(self._data)[_FRAME.size : end])
            del self._data[:end]
            yield _decode(answer, self._size, is_last=kind == ANSWER, seconds=seconds)


def _decode(data: bytes, size: int, *, is_last: bool, seconds: float) -> BatchAnswer:
    """Return what is in *data*, an answer in the form of TorchServe's worker protocol."""
    try:
        code, at = _integer(data, 0)
        message, at = _text(data, at)
        answers: dict[int, RequestAnswer] = {}
        length, at = _integer(data, at)
        while length >= 0 and code == OK:
            place, at = _place_of(data[at : at + length]), at + length
            if place >= size:
                raise MalformedAnswer("an answer to a request that is not in the batch")
            answers[place], at = _answer(data, at)
            length, at = _integer(data, at)
    except (struct.error, ValueError) as exc:
        raise MalformedAnswer(f"unreadable answer: {type(exc).__name__}") from exc
    return BatchAnswer(is_last, seconds, code, message, answers)


def _answer(data: bytes, at: int) -> tuple[RequestAnswer, int]:
    """Return the answer to one request, and where the next one begins."""
    media_type, at = _text(data, at)
    status, at = _integer(data, at)
    reason, at = _text(data, at)
    headers = {"content-type": ("content-type", media_type)} if media_type else {}
    count, at = _integer(data, at)
    for _ in range(count):
        name, at = _text(data, at)
        value, at = _text(data, at)
        if _NAME.fullmatch(name):
            headers[name.lower()] = (name, _as_header(value))
    headers |= UNCACHED
    length, at = _integer(data, at)
    if length < 0 or at + length > len(data) or status not in _STATUSES:
        raise MalformedAnswer(f"a body of {length} bytes, with the status {status}")
    reason = reason if reason.isprintable() else ""  # behind a line break, headers could follow
    body = data[at : at + length]
    return RequestAnswer(status, _as_header(reason), list(headers.values()), body), at + length


def _as_header(text: str) -> str:
    """Return *text* as Netty writes it into a head, which is ASCII."""
    if text.isascii():
        return text
    return text.encode("ascii", "replace").decode()


def _integer(data: bytes, at: int) -> tuple[int, int]:
    (number,) = _INTEGER.unpack_from(data, at)
    return number, at + _INTEGER.size


def _text(data: bytes, at: int) -> tuple[str, int]:
    length, at = _integer(data, at)
    return data[at : at + length].decode(), at + length
