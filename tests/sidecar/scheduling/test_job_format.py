"""The job format, the dispatcher's half; tests/handlers checks it against the handler's."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.scheduling.job_format import (
    MAGIC,
    AnswerHeader,
    ItemHeader,
    JobAnswerHeader,
    MalformedAnswer,
    decode_answer,
    encode_job,
)


def answer(items: list[tuple[AnswerHeader, bytes]], version: int = 1) -> bytes:
    header = msgspec.json.encode(
        JobAnswerHeader(version, [item for item, _ in items], "cpu", "fp32")
    )
    return MAGIC + len(header).to_bytes(4, "big") + header + b"".join(body for _, body in items)


@given(st.binary(max_size=400))
def test_any_bytes_are_an_answer_or_malformed_and_nothing_else(data: bytes) -> None:
    for candidate in (data, MAGIC + data, MAGIC + len(data).to_bytes(4, "big") + data):
        with pytest.raises(MalformedAnswer):
            decode_answer(candidate, 1)


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_every_item_gets_its_own_bytes(bodies: list[bytes]) -> None:
    items = [(AnswerHeader(str(n), len(body)), body) for n, body in enumerate(bodies)]
    header, out = decode_answer(answer(items), len(bodies))
    assert out == bodies
    assert [item.id for item in header.items] == [str(n) for n in range(len(bodies))]


@pytest.mark.parametrize(
    "data",
    [
        answer([(AnswerHeader("0", 5), b"1234")]),
        answer([(AnswerHeader("0", 3), b"1234")]),
        answer([(AnswerHeader("0", -1), b"")]),
        answer([(AnswerHeader("0", 1), b"1")], version=2),
        answer([]),
    ],
    ids=["too short", "too long", "negative", "other version", "no item"],
)
def test_lengths_and_counts_must_add_up(data: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        decode_answer(data, 1)


def test_a_job_names_each_body_by_its_length() -> None:
    job = encode_job(
        [ItemHeader("a", 2), ItemHeader("b", 0), ItemHeader("c", 1)], [b"[]", b"", b"7"]
    )
    length = int.from_bytes(job[4:8], "big")
    assert msgspec.json.decode(job[8 : 8 + length]) == {
        "version": 1,
        "items": [{"id": "a", "length": 2}, {"id": "b", "length": 0}, {"id": "c", "length": 1}],
    }
    assert job[8 + length :] == b"[]7"
