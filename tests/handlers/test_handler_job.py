"""The job format's two halves say the same, and no bytes can hurt the handler's."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_kit import job
from sidecar.scheduling import job_format as dispatcher

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
parameters = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-9, 9) | texts)
run_by = job.RunBy(device="cpu", precision="fp32", worker=7)

trace_ids = st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True)
request_ids = st.from_regex(r"[A-Za-z0-9_.:-]{1,128}", fullmatch=True)

jobs = st.lists(
    st.tuples(
        request_ids, st.sampled_from(["json", "text", "pcm"]), parameters, trace_ids, st.binary()
    )
)
answers = st.lists(
    st.builds(
        job.Answer,
        body=st.binary(),
        status=st.sampled_from([200, 400, 500, 503]),
        error=st.none() | texts,
        type=st.sampled_from(["json", "pcm"]),
        forward_pass=st.integers(0, 999),
    )
)


@given(jobs)
def test_the_handler_reads_what_the_dispatcher_writes(
    entries: list[tuple[str, str, dict[str, Any], str, bytes]],
) -> None:
    headers = [
        dispatcher.ItemHeader(
            id=name,
            length=len(body),
            type=kind,
            parameters=given_,
            traceparent=trace,
            request_id=name,
        )
        for name, kind, given_, trace, body in entries
    ]
    data = dispatcher.encode_job(headers, [body for *_, body in entries])
    assert job.is_job(data)
    items = job.read_job(data)
    read = [(i.id, i.type, i.parameters, i.traceparent, i.body) for i in items]
    assert read == entries
    assert [item.request_id for item in items] == [item.id for item in items]


@given(texts, texts)
def test_malformed_ids_are_dropped(trace: str, request_id: str) -> None:
    header = dispatcher.ItemHeader(
        "0", 0, traceparent=trace + "\u2028[PID]1", request_id=request_id
    )
    (item,) = job.read_job(dispatcher.encode_job([header], [b""]))
    assert item.traceparent is None
    assert item.request_id is None or item.request_id.isascii()
    assert str(item.request_id).isprintable()


@given(answers)
def test_the_dispatcher_reads_what_the_handler_writes(given_: list[job.Answer]) -> None:
    items = [job.Item(id=str(number)) for number in range(len(given_))]
    timings = job.Timings(decode_ms=1.5, forward_ms=2.5, encode_ms=0.25)
    data = job.write_answer(items, given_, run_by, timings)
    header, bodies = dispatcher.decode_answer(data, len(given_))
    assert bodies == [answer.body for answer in given_]
    assert [(i.id, i.status, i.error, i.type, i.forward_pass) for i in header.items] == [
        (item.id, a.status, a.error, a.type, a.forward_pass)
        for item, a in zip(items, given_, strict=True)
    ]
    assert (header.device, header.precision, header.worker) == ("cpu", "fp32", 7)
    assert header.timings == dispatcher.Timings(1.5, 2.5, 0.25)


@given(st.binary() | st.binary().map(lambda data: job.MAGIC + data))
def test_any_other_bytes_are_a_malformed_job(data: bytes) -> None:
    with pytest.raises(job.MalformedJob):
        job.read_job(data)


@given(st.binary(max_size=40), st.integers(0, 2**32 - 1))
def test_a_wrong_header_length_is_a_malformed_job(header: bytes, length: int) -> None:
    with pytest.raises(job.MalformedJob):
        job.read_job(job.MAGIC + struct.pack(">I", length) + header)


@pytest.mark.parametrize(
    "header",
    [
        b'{"version":2,"items":[]}',
        b'{"version":1,"items":[{"id":"a","length":-1}]}',
        b'{"version":1,"items":[{"id":"a","length":1}]}',
        b'{"version":1,"items":[{"id":"a","length":1e999}]}',
        b'{"version":1,"items":[{"id":"\\ud800","length":0}]}',
        b'{"version":1,"items":[{"id":"\xff","length":0}]}',
        b'{"version":1,"items":' + b"[" * 100_000,
        b"[]",
        b"",
    ],
)
def test_a_header_that_does_not_hold_is_a_malformed_job(header: bytes) -> None:
    with pytest.raises(job.MalformedJob):
        job.read_job(job.MAGIC + struct.pack(">I", len(header)) + header)
