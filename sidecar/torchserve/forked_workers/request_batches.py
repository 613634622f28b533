"""A batch of requests for a custom handler comes as one request, and is taken apart here.

TorchServe's own code is given the requests as Java would have given them, one for each client, and
its answer, for all of them, goes back as it is.  So TorchServe decides what a handler sees, and
what becomes of what it returns.  `sidecar.scheduling.request_batch` is the sidecar's half.

To the worker: ``marshal`` of a list with a tuple for each request: its id, its headers and the
inputs that are in its address, both as pairs, and its body.

From the worker, frames: four bytes that tell what it is, the length of what follows as an unsigned
32-bit big-endian number, the seconds that the batch took as a 64-bit float, and an answer in the
form of `ts.protocol.otf_message_handler`.  ``\\x00PCE`` is an intermediate answer, and ``\\x00ANS``
the last one.
"""

import json
import logging
import marshal
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

CONTENT_TYPE = "application/vnd.sidecar.requests"
PIECE, ANSWER = b"\x00PCE", b"\x00ANS"
PART_BYTES = 1 << 20  # of an answer; TorchServe has a limit for each
OK = 200
FORM, FIELDS = "multipart/form-data", "application/x-www-form-urlencoded"
FILE = "application/octet-stream"  # what Netty takes a file for whose type is not named
log = logging.getLogger(__name__)
_FRAME = struct.Struct(">4sId")
_INTEGER = struct.Struct("!i")
_NEXT = "ts_stream_next"  # TorchServe's header for answers that others follow

Pairs = Sequence[tuple[str, str]]
Request = tuple[str, Pairs, Pairs, bytes]


def install() -> None:
    """Let TorchServe's worker take batches apart, where the sidecar says so of its model."""
    from ts.protocol import otf_message_handler  # noqa: PLC0415 - it imports torch
    from ts.service import Service  # noqa: PLC0415

    retrieve, predict = otf_message_handler.retrieve_msg, Service.predict
    unpacking = False

    def retrieve_msg(connection: socket.socket) -> Any:
        nonlocal unpacking
        command, message = retrieve(connection)
        if command == otf_message_handler.LOAD_MSG:
            size = batch_size_of(message["modelName"].decode())
            unpacking = size is not None
            message["batchSize"] = size or message["batchSize"]
        return command, message

    def predict_batch(service: Any, batch: Sequence[Mapping[str, Any]]) -> Any:
        if unpacking and (requests := packed_requests(batch)) is not None:
            request_id = bytes(batch[0]["requestId"])
            return AnsweredBatch(service, request_id).answer(lambda: predict(service, requests))
        return predict(service, batch)

    otf_message_handler.retrieve_msg = retrieve_msg
    Service.predict = predict_batch


def batch_size_of(model: str) -> int | None:
    """Return how many requests a batch of *model* may hold; None: they come one by one."""
    folder = os.environ.get("WORKER_BATCH_SIZES")  # where the sidecar says it
    try:
        return int(Path(folder, model).read_text()) if folder else None
    except FileNotFoundError:
        return None


def packed_requests(batch: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the requests in *batch*, in the form of TorchServe's own; None: it has none."""
    (request, *others) = batch
    parameters = request["parameters"]
    if others or len(parameters) != 1 or parameters[0]["contentType"] != CONTENT_TYPE:
        return None
    decode = os.environ.get("TS_DECODE_INPUT_REQUEST") in (None, "true")
    return [
        _request(packed, decode=decode)
        for packed in marshal.loads(parameters[0]["value"])  # noqa: S302 - the sidecar's
    ]


def _request(packed: Request, *, decode: bool) -> dict[str, Any]:
    """Return one request as TorchServe's worker reads it from Java."""
    request_id, headers, inputs, body = packed
    media_type = next((value for name, value in headers if name.lower() == "content-type"), "")
    return {
        "requestId": bytearray(request_id.encode()),
        "headers": [
            {"name": bytearray(name.encode()), "value": bytearray(value.encode())}
            for name, value in headers
        ],
        "parameters": [
            *(_parameter(name, "", value.encode(), decode=decode) for name, value in inputs),
            *_parameters(media_type, body, decode=decode),
        ],
    }


def _parameters(media_type: str, body: bytes, *, decode: bool) -> Iterator[dict[str, Any]]:
    """Yield the inputs in *body*: the fields of a form, or one that is named ``body``."""
    kind = media_type.partition(";")[0].strip()
    if kind.lower() == FIELDS:
        fields, _, last = body.decode("utf-8", "replace").rpartition("&")
        if "=" in last:  # without it, Netty takes the last one for unfinished
            fields += f"&{last}"
        for name, text in parse_qsl(fields, keep_blank_values=True):
            yield _parameter(name, "", text.encode(), decode=decode)
    elif kind.lower() == FORM and (boundary := _boundary(media_type)):
        for name, part_type, content in form_parts(boundary, body):
            yield _parameter(name, part_type, content, decode=decode)
    else:
        yield _parameter("body", kind, body, decode=decode)


def _parameter(name: str, kind: str, content: bytes, *, decode: bool) -> dict[str, Any]:
    """Return an input, decoded by its *kind* as `otf_message_handler._retrieve_input_data` does."""
    value: Any = bytearray(content)
    if decode and (kind == "application/json" or kind.startswith("text")):
        try:
            text = content.decode("utf-8")
            value = text if kind.startswith("text") else json.loads(text)
        except Exception:  # noqa: BLE001 - as TorchServe does
            log.warning("Failed decoding of input data. Forwarding encoded payload")
    return {"name": name, "contentType": kind, "value": value}


def _boundary(media_type: str) -> str:
    return str(HeaderParser().parsestr(f"Content-Type: {media_type}").get_boundary(""))


def form_parts(boundary: str, body: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Yield the name, the content type and the content of each part of a form (RFC 7578).

    As Netty has it: the type is empty where the part is no file.
    """
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    for part in (b"\r\n" + body).split(delimiter)[1:]:
        if part.startswith(b"--"):
            return
        head, blank, content = part.partition(b"\r\n\r\n")
        if not blank:
            return
        headers = HeaderParser().parsestr(head.strip(b"\r\n").decode("utf-8", "replace"))
        name = headers.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            continue
        filename = headers.get_param("filename", header="content-disposition")
        kind = headers.get("Content-Type", FILE).partition(";")[0].strip()
        yield name, "" if filename is None else kind, content


class AnsweredBatch:
    """A batch that *service* works on: it takes the connection's place for the handler."""

    def __init__(self, service: Any, request_id: bytes) -> None:
        self._service = service
        self._connection = service.cl_socket
        self._request_id = request_id
        self._streams = False  # whether answers have been sent already

    def answer(self, predict: Any) -> bytes:
        """Return what Java is sent last: what *predict* returns, in a frame."""
        began = time.perf_counter()
        self._service.cl_socket = self
        try:
            answer = predict()
        finally:
            self._service.cl_socket = self._connection
        *parts, last = _parts(ANSWER, answer, time.perf_counter() - began)
        for part in parts:
            self._send(part)
        return self._response(last, last=True)

    def sendall(self, answer: bytes) -> None:
        """Send an intermediate answer, as a handler does."""
        for part in _parts(PIECE, answer):
            self._send(part)

    def __getattr__(self, name: str) -> Any:
        """Return what the connection has under *name*."""
        return getattr(self._connection, name)

    def _send(self, part: bytes) -> None:
        self._connection.sendall(self._response(part, last=False))

    def _response(self, body: bytes, *, last: bool) -> bytes:
        """Return a response to the one request that there is for Java."""
        headers = b""
        if self._streams or not last:
            self._streams = True
            headers = _text(_NEXT.encode()) + _text(b"false" if last else b"true")
        return b"".join(
            (
                _INTEGER.pack(OK),
                _text(b""),  # no message
                _text(self._request_id),
                _text(b""),  # no content type
                _INTEGER.pack(OK),
                _text(b""),  # no phrase
                _INTEGER.pack(1 if headers else 0),
                headers,
                _text(body),
                _INTEGER.pack(-1),  # no other response
            )
        )


def _text(content: bytes) -> bytes:
    return _INTEGER.pack(len(content)) + content


def _parts(kind: bytes, answer: bytes, seconds: float = 0.0) -> list[bytes]:
    """Return a frame, cut into as many parts as it needs."""
    frame = _FRAME.pack(kind, len(answer), seconds) + answer
    return [frame[at : at + PART_BYTES] for at in range(0, len(frame), PART_BYTES)]
