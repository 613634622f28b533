"""One job, many items: what goes wrong with one stays with one."""

import json
import os
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handler_kit.errors import as_item_error, is_broken_device, is_out_of_memory
from handler_kit.job import MAGIC
from handler_kit.memory import MemoryGauge, parents_bytes
from sidecar.scheduling.job_format import decode_answer
from tests.handlers.loaded import EXAMPLE_OPTIONS, FaultyHandler, Loaded, LoadExample, job_of
from tests.handlers.pretended_cuda import pretended_cuda

GOOD = b"[1,2,3,4,5]"
TRACEPARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"
HOSTILE = [
    b"",
    b"\xff\xfe",
    b"1e999",
    b"[1e999]",
    b"[1e300]",
    b"[" * 100_000,
    b"[" * 900 + b"1" + b"]" * 900,
    b"9" * 5000,
    b"[" + b"9" * 400 + b"]",
    b'"\\ud800"',
    b"NaN",
    b"[NaN]",
    b"null",
    b"true",
    b"[true]",
    b"[null]",
    b'["a"]',
    b"[[1]]",
    b"{}",
    b'{"text":"x"}',
    b"[1,",
]


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:20]))
def test_a_bad_item_fails_alone_with_400(example: Loaded, body: bytes) -> None:
    header, bodies = example.job(GOOD, body, GOOD)
    assert [item.status for item in header.items] == [200, 400, 200]
    assert bodies[0] == bodies[2] != b""
    assert bodies[1] == b""
    assert header.items[1].error
    assert example.context.statuses == {}


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:20]))
def test_a_bad_plain_row_gets_its_own_400(example: Loaded, body: bytes) -> None:
    good, bad = example.rows({"body": bytearray(GOOD)}, {"body": bytearray(body)})
    assert example.context.statuses == {1: 400}
    assert example.context.phrases == {1: "Bad Request"}
    assert json.loads(good)
    assert set(json.loads(bad)) == {"error"}


@given(bodies=st.lists(st.binary(max_size=30) | st.just(GOOD), max_size=4))
def test_arbitrary_bytes_do_not_affect_other_items(
    shared_example: Loaded, bodies: list[bytes]
) -> None:
    header, answers = shared_example.job(*bodies, GOOD)
    assert header.items[-1].status == 200
    assert answers[-1] == shared_example.job(GOOD)[1][0]
    assert {item.status for item in header.items} <= {200, 400}


@given(row=st.binary(max_size=60) | st.binary(max_size=60).map(lambda data: MAGIC + data))
def test_a_bad_row_does_not_affect_other_rows(shared_example: Loaded, row: bytes) -> None:
    _, good = shared_example.rows({"body": bytearray(row)}, {"body": bytearray(GOOD)})
    assert 0 < json.loads(good) < 1
    assert 1 not in shared_example.context.statuses


def test_jobs_and_plain_rows_share_one_forward_pass(faulty: Loaded) -> None:
    handler = faulty.handler
    assert isinstance(handler, FaultyHandler)
    job = bytearray(job_of(GOOD, b"[6]"))
    answers = faulty.rows({"body": job}, {"body": [1, 2, 3, 4, 5]}, {"data": "[6]"})
    assert handler.passes == [4]
    assert faulty.context.content_types == {
        0: "application/octet-stream",
        1: "application/json",
        2: "application/json",
    }
    header, bodies = decode_answer(answers[0], 2)
    assert [item.forward_pass for item in header.items] == [4, 4]
    assert bodies == answers[1:]


@pytest.mark.parametrize(
    "row",
    [
        {"body": bytearray(GOOD)},
        {"body": GOOD},
        {"body": [1, 2, 3, 4, 5]},
        {"data": "[1,2,3,4,5]"},
        {"data": bytearray(GOOD)},
    ],
    ids=repr,
)
def test_a_plain_row_is_one_input_however_torchserve_left_it(
    example: Loaded, row: dict[str, Any]
) -> None:
    assert example.rows(row) == [example.job(GOOD)[1][0]]


def test_text_under_body_stays_text_and_form_text_may_be_json(example: Loaded) -> None:
    (text,) = example.results("[6]")
    (number,) = example.results([6])
    assert [json.loads(a) for a in example.rows({"body": "[6]"}, {"data": "[6]"})] == [text, number]


def test_a_row_without_body_and_a_malformed_job_get_400(example: Loaded) -> None:
    answers = example.rows({}, {"body": bytearray(MAGIC)}, {"body": GOOD})
    assert example.context.statuses == {0: 400, 1: 400}
    assert all(json.loads(answer)["error"] for answer in answers[:2])


def test_an_empty_job_gets_an_empty_answer(example: Loaded) -> None:
    header, bodies = example.job()
    assert (header.items, bodies) == ([], [])


def test_the_answer_says_what_ran_it(example: Loaded) -> None:
    header, _ = example.job(GOOD)
    assert (header.device, header.precision, header.worker) == ("cpu", "fp32", os.getpid())
    assert header.timings.forward_ms > 0


def test_memory_is_reported_about_once_a_second(example: Loaded) -> None:
    told = [example.job(GOOD)[0].memory for _ in range(3)]
    assert told[0] is not None
    assert told[1] is told[2] is None
    assert told[0].gpu is None
    assert 50 * 2**20 < told[0].rss_bytes < 2**36
    described = example.describe()
    assert described["worker"] == os.getpid()
    assert described["memory"]["rss_bytes"] > 50 * 2**20


def test_gpu_memory_is_reported_as_reserved_and_allocated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 400 + device.index)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 500 + device.index)
    held = MemoryGauge(torch.device("cuda", 1)).read()
    assert (held.gpu, held.gpu_allocated_bytes, held.gpu_reserved_bytes) == (1, 401, 501)


def test_memory_shared_with_the_process_that_it_was_forked_from_does_not_count(
    tmp_path: Path,
) -> None:
    memory_map = tmp_path / "smaps_rollup"
    memory_map.write_text("Rss: 900 kB\nShared_Clean: 300 kB\nShared_Dirty:     200 kB\n")
    assert parents_bytes(memory_map) == 200 * 1024
    assert parents_bytes(tmp_path / "absent") == 0


def test_memory_counts_once_the_process_that_it_was_shared_with_has_ended(tmp_path: Path) -> None:
    memory_map = tmp_path / "smaps_rollup"
    memory_map.write_text(f"Shared_Dirty: {2**40} kB\n")
    parent = [7]
    gauge = MemoryGauge(torch.device("cpu"), memory_map=memory_map, parent=lambda: parent[0])
    assert gauge.read().rss_bytes < 0
    parent[0] = 1
    assert gauge.read().rss_bytes > 0


def test_memory_is_measured_again_when_it_is_due() -> None:
    now = [0.0]
    gauge = MemoryGauge(torch.device("cpu"), clock=lambda: now[0])
    assert gauge.read_if_due()
    now[0] = 0.9
    assert gauge.read_if_due() is None
    now[0] = 1.0
    assert gauge.read_if_due()


def test_a_poisoned_item_gets_500_alone_and_nothing_leaks(faulty: Loaded) -> None:
    header, _ = faulty.job(GOOD, b"[666]", GOOD)
    assert [item.status for item in header.items] == [200, 500, 200]
    assert header.items[1].error == "Internal server error"
    cause = header.items[1].cause
    assert cause is not None
    assert cause.startswith("RuntimeError in forward, loaded.py:")
    assert [item.forward_pass for item in header.items] == [1, 1, 1]


def test_a_log_line_about_an_item_says_whose_it_was(
    faulty: Loaded, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        faulty.job(GOOD, b"[666]", request_id="mine", traceparent=TRACEPARENT)
    together, alone = (record.getMessage() for record in caplog.records[-2:])
    assert together == (
        "2 inputs failed together; retrying each on its own: "
        f"request mine, traceparent {TRACEPARENT}"
    )
    assert alone == f"an input failed on its own: request mine, traceparent {TRACEPARENT}"


def test_an_item_that_exhausts_memory_gets_503_alone(faulty: Loaded) -> None:
    header, _ = faulty.job(b"[777]", GOOD)
    assert [item.status for item in header.items] == [503, 200]


def test_a_non_finite_answer_is_400_alone_without_a_second_pass(faulty: Loaded) -> None:
    header, _ = faulty.job(GOOD, b"[888]")
    assert [item.status for item in header.items] == [200, 400]
    assert isinstance(faulty.handler, FaultyHandler)
    assert faulty.handler.passes == [2]


def test_a_broken_device_ends_the_worker(faulty: Loaded) -> None:
    with pytest.raises(SystemExit):
        faulty.job(GOOD, b"[999]")


class Decoding(FaultyHandler):
    """Has the device broken by what it does while it decodes."""

    def decode(self, value: object, parameters: dict[str, Any]) -> Any:
        if value == [self.BROKEN_DEVICE]:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return super().decode(value, parameters)


def test_a_device_that_breaks_while_decoding_ends_the_worker_too(load_example: LoadExample) -> None:
    with pytest.raises(SystemExit):
        load_example(Decoding).job(GOOD, b"[999]")


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory"
    ),
    MemoryError(),
]
BROKEN_DEVICES = [
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(…)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
]


@pytest.mark.parametrize("exc", OUT_OF_MEMORY, ids=str)
def test_every_out_of_memory_error_is_recognised(exc: Exception) -> None:
    assert is_out_of_memory(exc)
    assert not is_broken_device(exc)
    assert as_item_error(exc).status == 503


@pytest.mark.parametrize("exc", BROKEN_DEVICES, ids=str)
def test_every_broken_device_error_is_recognised(exc: Exception) -> None:
    assert is_broken_device(exc)
    wrapped = ValueError("while decoding")
    wrapped.__cause__ = exc
    assert is_broken_device(wrapped)


def test_a_model_fault_is_neither_out_of_memory_nor_a_broken_device() -> None:
    exc = RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")
    assert not is_out_of_memory(exc)
    assert not is_broken_device(exc)


def test_a_failed_pass_is_freed_before_the_cache_is_given_back(
    load_example: LoadExample,
) -> None:
    held: list[Any] = []
    left: list[int] = []

    class Hoarding(FaultyHandler):
        """Holds much while it runs out of memory."""

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            if (batch[:, 0] == self.TOO_BIG).any():
                activations = torch.ones(1000)
                held.append(weakref.ref(activations))
                raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
            return super().forward(batch)

    def empty_cache() -> None:
        left.append(sum(ref() is not None for ref in held))

    with pretended_cuda(empty_cache=empty_cache):
        loaded = load_example(Hoarding, gpu_id=0, compile="off", precision="fp32")
        left.clear()
        header, _ = loaded.job(GOOD, b"[777]")
    assert [item.status for item in header.items] == [200, 503]
    assert left == [0, 0]  # once for both together, once for the guilty one alone


def test_a_fault_of_the_handler_itself_is_500_for_each_row(
    example: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example.handler, "options", None)
    assert [json.loads(a) for a in example.rows({"body": GOOD}, {"body": GOOD})] == [
        {"error": "Internal server error"}
    ] * 2
    assert example.context.statuses == {0: 500, 1: 500}


def test_an_answer_too_large_is_replaced_and_smaller_ones_still_fit(
    load_example: LoadExample,
) -> None:
    class Wide(FaultyHandler):
        def plan(self, inputs: Any) -> Any:
            passes = [super(Wide, self).plan([one])[0] for one in inputs]
            return [one._replace(members=[place]) for place, one in enumerate(passes)]

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return super().forward(batch).repeat(1, 5000 if batch[0, 0] == 5 else 2)

    wide = load_example(Wide, options=EXAMPLE_OPTIONS | {"max_answer_bytes": 5000})
    header, bodies = wide.job(b"[1]", b"[5]", b"[2]")
    assert [item.status for item in header.items] == [200, 500, 200]
    assert header.items[1].error == "The answer is larger than 5000 bytes"
    assert sum(map(len, bodies)) < 5000
    wide.rows({"body": b"[5]"})
    assert wide.context.statuses == {0: 500}


def test_an_item_of_another_type_or_with_parameters_gets_400(example: Loaded) -> None:
    assert example.job(GOOD, type="pcm")[0].items[0].status == 400
    header, _ = example.job(GOOD, parameters={"top_k": 5})
    assert "'top_k'" in str(header.items[0].error)


def test_describe_tells_what_was_picked(example: Loaded) -> None:
    described = example.describe()
    assert set(described) == {
        "model_key",
        "version",
        "handler",
        "device",
        "device_reason",
        "precision_requested",
        "precision",
        "precision_check",
        "compile",
        "tensorrt",
        "warmup_ms",
        "threads",
        "workers",
        "max_batch_size",
        "input_rank",
        "load_ms",
        "torch",
        "worker",
        "memory",
        "options",
        "output",
    }
    assert described["output"] == {"shape": [1], "dtype": "float32"}
    assert described["device"] == "cpu"
    assert described["load_ms"] > described["warmup_ms"] > 0
