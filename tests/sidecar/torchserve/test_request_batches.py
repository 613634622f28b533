"""The worker's half of a batch of requests: they become what Java would have sent.

`tests/own_archives` compares what handlers make of them with TorchServe itself.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sidecar.scheduling.request_batch import AnswerReader, encode_requests
from sidecar.torchserve.batch_sizes import BatchSizes
from sidecar.torchserve.forked_workers.request_batches import (
    CONTENT_TYPE,
    PART_BYTES,
    AnsweredBatch,
    batch_size_of,
    form_parts,
    packed_requests,
)
from sidecar.torchserve.forwarding import ForwardedRequest

JSON, TEXT, FIELDS = "application/json", "text/plain", "application/x-www-form-urlencoded"


def message(*requests: ForwardedRequest) -> list[dict[str, Any]]:
    """Return what a worker reads from Java for one batch of *requests*."""
    packed = encode_requests(requests, [None] * len(requests))
    parameter = {"name": "body", "contentType": CONTENT_TYPE, "value": bytearray(packed)}
    return [{"requestId": bytearray(b"java's"), "headers": [], "parameters": [parameter]}]


def request(body: bytes, kind: str | None = None, path: str = "/predictions/own") -> Any:
    headers = [] if kind is None else [("Content-Type", kind)]
    return ForwardedRequest(path, headers, body)


def unpacked(*requests: ForwardedRequest) -> list[dict[str, Any]]:
    found = packed_requests(message(*requests))
    assert found is not None
    return found


def values(asked: ForwardedRequest) -> dict[str, Any]:
    """Return what the handler gets of a request: its inputs by their names."""
    (found,) = unpacked(asked)
    return {each["name"]: each["value"] for each in found["parameters"]}


@pytest.mark.parametrize(
    ("kind", "body", "value"),
    [
        (JSON, b'{"a": [1]}', {"a": [1]}),
        (f"{JSON}; charset=utf-8", b"[1]", [1]),
        (JSON, b"{", bytearray(b"{")),
        (TEXT, "grün".encode(), "grün"),
        (TEXT, b"\xff", bytearray(b"\xff")),
        ("image/png", b"\x89PNG", bytearray(b"\x89PNG")),
        (None, b"x", bytearray(b"x")),
    ],
)
def test_a_body_is_decoded_by_its_type(kind: str | None, body: bytes, value: object) -> None:
    assert values(request(body, kind)) == {"body": value}


def test_torchserves_own_variable_leaves_bodies_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "false")
    assert values(request(b"[1]", JSON)) == {"body": bytearray(b"[1]")}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"text=a+b%21&empty=", {"text": bytearray(b"a b!"), "empty": bytearray()}),
        (b"bare&text=a", {"bare": bytearray(), "text": bytearray(b"a")}),
        (b"text=a&bare", {"text": bytearray(b"a")}),
        (b'{"a": 1}', {}),  # curl -d without a type
        (b"", {}),
    ],
)
def test_fields_of_a_form_are_inputs(body: bytes, fields: dict[str, bytearray]) -> None:
    assert values(request(body, FIELDS)) == fields


FORM = (
    b'--cut\r\nContent-Disposition: form-data; name="text"\r\nContent-Type: text/plain\r\n\r\n'
    b"gr\xc3\xbcn\r\n"
    b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.json"\r\n'
    b"Content-Type: application/json; charset=utf-8\r\n\r\n"
    b"[1]\r\n"
    b'--cut\r\nContent-Disposition: form-data; name="raw"; filename="a"\r\n\r\n'
    b"\r\n--cu\x00\r\n\r\n"
    b"--cut--\r\nnobody reads this"
)


def test_parts_of_a_form_are_inputs_and_only_files_have_a_type() -> None:
    asked = request(FORM, 'multipart/form-data; boundary="cut"')
    assert values(asked) == {
        "text": bytearray("grün".encode()),
        "file": [1],
        "raw": bytearray(b"\r\n--cu\x00\r\n"),
    }


@pytest.mark.parametrize("body", [b"", b"no form", b"--cut", b"--cut\r\nhead: alone", b"--cut--"])
def test_a_body_that_is_no_form_has_no_parts(body: bytes) -> None:
    assert list(form_parts("cut", body)) == []


def test_a_form_without_a_boundary_is_a_body() -> None:
    assert values(request(b"x", "multipart/form-data")) == {"body": bytearray(b"x")}


def test_headers_are_the_clients_and_those_that_java_adds() -> None:
    (found,) = unpacked(request(b"[1]", JSON, "/explanations/own/1.0/deep/er%20path?q=1"))
    headers = {each["name"].decode(): each["value"].decode() for each in found["headers"]}
    assert headers == {
        "Host": "torchserve",
        "Content-Type": JSON,
        "url_path": "deep/er path",
        "explain": "True",
        "content-length": "3",
    }


@pytest.mark.parametrize(
    ("path", "explains"),
    [
        ("/v2/models/own/infer", "False"),
        ("/v2/models/own/explain", "True"),
        ("/predictions/explain", "False"),
    ],
)
def test_kserves_paths_say_whether_they_ask_for_an_explanation(path: str, explains: str) -> None:
    (found,) = unpacked(request(b"x", TEXT, path))
    headers = {each["name"].decode(): each["value"].decode() for each in found["headers"]}
    assert headers["explain"] == explains
    assert ("url_path" in headers) is path.startswith("/predictions")


def test_the_query_of_sagemakers_paths_is_inputs() -> None:
    asked = request(b"x", TEXT, "/invocations?model_name=own&a=1;b=two+words&=no&empty=")
    assert values(asked) == {
        "model_name": bytearray(b"own"),
        "a": bytearray(b"1"),
        "b": bytearray(b"two words"),
        "empty": bytearray(),
        "body": "x",
    }


def test_each_request_has_an_id_of_its_own() -> None:
    ids = {bytes(each["requestId"]) for each in unpacked(*[request(b"x")] * 9)}
    assert len(ids) == 9


@pytest.mark.parametrize("others", [0, 1])
def test_what_is_no_batch_is_left_to_torchserve(others: int) -> None:
    plain = {"name": "body", "contentType": TEXT, "value": "x"}
    batch = [{"requestId": b"1", "headers": [], "parameters": [plain]}]
    assert packed_requests(batch + message(request(b"x")) * others) is None
    assert packed_requests([{"requestId": b"1", "headers": [], "parameters": []}]) is None


def test_a_worker_knows_the_batch_size_of_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = BatchSizes(tmp_path)
    sizes.tell("own", 8)
    assert batch_size_of("own") is None
    monkeypatch.setenv(BatchSizes.VARIABLE, str(tmp_path))
    assert (batch_size_of("own"), batch_size_of("other")) == (8, None)
    sizes.tell("own", None)
    assert batch_size_of("own") is None


class Connection:
    """What a worker writes to Java through."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)

    def getsockname(self) -> str:
        return "here"


class Service:
    """TorchServe's, as far as a batch knows it."""

    def __init__(self) -> None:
        self.cl_socket: Any = Connection()


def bodies(responses: Sequence[bytes]) -> tuple[bytes, list[str]]:
    """Return the body that Java makes of *responses*, and whether others follow each."""
    whole, following = b"", []
    for response in responses:
        begin = response.index(b"java's") + len(b"java's")
        _, _, _, headers = struct.unpack_from("!4i", response, begin)
        at = begin + 16
        following.append("")
        for _ in range(2 * headers):
            (length,) = struct.unpack_from("!i", response, at)
            following[-1] = response[at + 4 : at + 4 + length].decode()
            at += 4 + length
        (length,) = struct.unpack_from("!i", response, at)
        whole += response[at + 4 : at + 4 + length]
        assert response[at + 4 + length :] == struct.pack("!i", -1)
    return whole, following


def wire(*answers: tuple[str, bytes]) -> bytes:
    """Return an answer as TorchServe's worker writes it, to requests by their ids."""

    def text(content: bytes) -> bytes:
        return struct.pack("!i", len(content)) + content

    parts = [
        text(request_id.encode())
        + text(b"")
        + struct.pack("!i", 200)
        + text(b"")
        + struct.pack("!i", 0)
        + text(body)
        for request_id, body in answers
    ]
    return struct.pack("!i", 200) + text(b"") + b"".join(parts) + struct.pack("!i", -1)


@pytest.mark.parametrize("size", [1, PART_BYTES, 3 * PART_BYTES])
def test_an_answer_goes_back_whole_in_parts_that_java_takes(size: int) -> None:
    service, request_id = Service(), "0" * 36
    java = service.cl_socket
    answer = wire((request_id, b"x" * size))
    last = AnsweredBatch(service, b"java's").answer(lambda: answer)
    whole, following = bodies([*java.sent, last])
    (read,) = AnswerReader(1).read(whole)
    assert (read.is_last, read.answers[0].body) == (True, b"x" * size)
    assert following == ([""] if not java.sent else ["true"] * len(java.sent) + ["false"])
    assert service.cl_socket is java


def test_intermediate_answers_go_before_the_last_one() -> None:
    service, request_id = Service(), "0" * 36
    java = service.cl_socket

    def predict() -> bytes:
        assert service.cl_socket.getsockname() == "here"
        service.cl_socket.sendall(wire((request_id, b"one")))
        return wire((request_id, b"two"))

    last = AnsweredBatch(service, b"java's").answer(predict)
    whole, following = bodies([*java.sent, last])
    read = list(AnswerReader(1).read(whole))
    assert [(each.is_last, each.answers[0].body) for each in read] == [
        (False, b"one"),
        (True, b"two"),
    ]
    assert following == ["true", "false"]
