"""The sidecar's half of a batch of requests: what comes back is understood, or refused."""

import json
import struct
from http import HTTPStatus

import pytest

from sidecar.scheduling.job_format import MalformedAnswer
from sidecar.scheduling.request_batch import (
    ANSWER,
    MAX_ANSWER_BYTES,
    PIECE,
    UNCACHED,
    AnswerReader,
    BatchAnswer,
    RequestAnswer,
)

ID = "00000000-0000-4000-8000-{:012x}"


def text(content: str | bytes) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return struct.pack("!i", len(data)) + data


def answered(
    place: int,
    body: bytes,
    *,
    status: int = 200,
    kind: str = "",
    reason: str = "",
    headers: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """Return one answer in the form of TorchServe's worker protocol."""
    told = b"".join(text(name) + text(value) for name, value in headers)
    return b"".join(
        (
            text(ID.format(place)),
            text(kind),
            struct.pack("!i", status),
            text(reason),
            struct.pack("!i", len(headers)),
            told,
            text(body),
        )
    )


def frame(
    *answers: bytes,
    code: int = 200,
    message: str = "",
    kind: bytes = ANSWER,
    seconds: float = 0.5,
) -> bytes:
    inside = b"".join((struct.pack("!i", code), text(message), *answers, struct.pack("!i", -1)))
    return struct.pack(">4sId", kind, len(inside), seconds) + inside


def read(data: bytes, size: int = 1, step: int | None = None) -> list[BatchAnswer]:
    """Return the answers in *data*, which comes in pieces of *step* bytes."""
    reader, found = AnswerReader(size), list[BatchAnswer]()
    for at in range(0, len(data), step or len(data)):
        found += reader.read(data[at : at + (step or len(data))])
    return found


@pytest.mark.parametrize("step", [1, 7, None])
def test_answers_are_cut_out_of_what_comes(step: int | None) -> None:
    data = frame(answered(0, b"a"), answered(1, b"b"), kind=PIECE) + frame(
        answered(1, b"", status=404), answered(0, b"c" * 99)
    )
    first, last = read(data, 2, step)
    assert (first.is_last, last.is_last, last.seconds) == (False, True, 0.5)
    assert [first.answers[place].body for place in (0, 1)] == [b"a", b"b"]
    assert (last.answers[0].body, last.answers[1].status) == (b"c" * 99, 404)


def test_headers_are_those_that_netty_would_write() -> None:
    told = (
        ("X-Own", "näm"),
        ("content-type", "text/x"),
        ("x-own", "last"),
        ("b\r\nad", "1"),
        ("", "2"),
        ("Cache-Control", "max-age=60"),
    )
    (answer,) = read(frame(answered(0, b"", kind="text/plain", reason="Grün", headers=told)))
    of_the_handler = [("content-type", "text/x"), ("x-own", "last")]
    expected = RequestAnswer(200, "Gr?n", [*of_the_handler, *UNCACHED.values()], b"")
    given = answer.answers[0]
    assert given._replace(headers=sorted(given.headers)) == expected._replace(
        headers=sorted(expected.headers)
    )


def test_a_reason_with_a_line_break_adds_no_header() -> None:
    (answer,) = read(frame(answered(0, b"", reason="OK\r\nX-Bad: 1")))
    assert answer.answers[0].reason == ""


@pytest.mark.parametrize(
    "data",
    [
        frame(answered(0, b"x"), kind=b"HTTP"),
        frame(answered(1, b"x")),
        frame(answered(0, b"x", status=1000)),
        frame(answered(0, b"x", status=0)),
        frame(answered(0, b"x")[:-2]),
        frame(answered(0, b"x", reason="x")[:40]),
        frame(text("no id") + text("")),
        struct.pack(">4sId", ANSWER, 2, 0.0) + b"no",
        struct.pack(">4sId", ANSWER, MAX_ANSWER_BYTES + 1, 0.0),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        read(data)


@pytest.mark.parametrize(("code", "status"), [(503, 503), (507, 507), (413, 507), (1000, 503)])
def test_a_batch_that_failed_is_answered_as_torchserve_does(code: int, status: int) -> None:
    (answer,) = read(frame(code=code, message="Prediction failed"))
    failure = answer.failure()
    assert (answer.answers, failure.status) == ({}, status)
    assert failure.reason == HTTPStatus(status).phrase
    assert set(UNCACHED.values()) < set(failure.headers)
    told = {"code": status, "type": "InternalServerException", "message": "Prediction failed"}
    assert json.loads(failure.body) == told
