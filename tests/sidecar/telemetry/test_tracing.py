"""Spans and metrics, as a collector receives them."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sidecar.program import PROGRAM
from sidecar.telemetry.tracing import BoundedExport, SpanCounts
from tests.fake_torchserve import FakeTorchServe, Refuse, Told
from tests.otlp_receiver import OtlpReceiver, attributes
from tests.sidecar.conftest import CATALOG, ECHO, Client, StartSidecar
from tests.waiting import LIMIT_SECONDS, until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
SECRET_TEXT = "what nobody but the model is to read"
ERROR = 2  # a span's status


@pytest.fixture
async def receiver() -> AsyncIterator[OtlpReceiver]:
    receiver = OtlpReceiver()
    await receiver.start()
    yield receiver
    await receiver.stop()


@pytest.fixture
async def client(
    start: StartSidecar, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")  # ms: spans leave at once
    vectors = ECHO | {"task": "embedding", "handler": "text_embedding_handler"}
    catalog = CATALOG | {"echo": CATALOG["echo"] | {"inference": {"max_batch_size": 8}}}
    catalog["other"] = vectors | {"auto_load": False}
    client = await start(catalog=catalog, otlp_endpoint=receiver.url)
    yield client
    await client.close()  # while the collector still takes what is left


async def predict(client: Client, inputs: Any = (1, 2), **headers: str) -> int:
    body = {"model_name": "echo", "inputs": inputs}
    async with client.post("/predict", json=body, headers=headers) as response:
        await response.read()
        return response.status


def hex_of(number: bytes) -> str:
    return number.hex()


async def test_a_request_is_a_tree_from_the_client_to_the_handlers_phases(
    client: Client, receiver: OtlpReceiver, torchserve: FakeTorchServe
) -> None:
    assert await predict(client, traceparent=TRACEPARENT) == 200
    await until(lambda: bool(receiver.named("POST /predict")))
    (server,) = receiver.named("POST /predict")
    assert (hex_of(server.trace_id), hex_of(server.parent_span_id)) == (TRACE, PARENT)
    assert server.kind == Span.SpanKind.SPAN_KIND_SERVER
    assert attributes(server.attributes) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "sidecar.model": "echo",
    }
    ours = [span for span in receiver.spans if hex_of(span.trace_id) == TRACE]
    parents = {span.span_id: span.name for span in ours}
    assert {(span.name, parents.get(span.parent_span_id)) for span in ours} == {
        ("POST /predict", None),
        ("admission", "POST /predict"),
        ("admission to the model", "POST /predict"),
        ("queue", "POST /predict"),
        ("job", "POST /predict"),
        ("POST /predictions/{model_name}", "job"),
        ("handler decode", "POST /predictions/{model_name}"),
        ("handler forward", "POST /predictions/{model_name}"),
        ("handler encode", "POST /predictions/{model_name}"),
    }
    (job,) = receiver.named("job")
    assert attributes(job.attributes)["sidecar.job.inputs"] == 1
    given = torchserve.items[-1][0]["traceparent"]
    assert given == f"00-{TRACE}-{hex_of(job.span_id)}-01"


async def test_each_request_in_a_job_gets_spans_of_it_in_its_own_trace(
    client: Client, receiver: OtlpReceiver, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    dispatcher = program_of(client).models["echo"].dispatcher
    first = asyncio.create_task(predict(client))
    await until(lambda: dispatcher.in_flight == 1)
    rest = [asyncio.create_task(predict(client, [[number], [number]])) for number in range(2)]
    await until(lambda: len(dispatcher.queue) == 4)
    torchserve.release()
    assert await asyncio.gather(first, *rest) == [200] * 3
    await until(lambda: len(receiver.named("POST /predict")) == 3)
    shared = [
        span
        for span in receiver.named("job")
        if attributes(span.attributes)["sidecar.job.inputs"] == 4
    ]
    assert len({span.trace_id for span in shared}) == 2
    assert {attributes(span.attributes)["sidecar.request.inputs"] for span in shared} == {2}
    items = next(items for items in torchserve.items if len(items) == 4)
    assert [item["traceparent"].split("-")[1:3] for item in items] == [
        [hex_of(span.trace_id), hex_of(span.span_id)]
        for span in by_trace(shared, items)
        for _ in range(2)
    ]


def by_trace(spans: list[Span], items: list[dict[str, Any]]) -> list[Span]:
    """Return *spans* in the order in which *items* name their traces."""
    order = list(dict.fromkeys(item["traceparent"].split("-")[1] for item in items))
    return sorted(spans, key=lambda span: order.index(hex_of(span.trace_id)))


def program_of(client: Client) -> Any:
    assert client.app is not None
    return client.app[PROGRAM]


async def test_an_unsampled_trace_is_passed_on_and_not_exported(
    client: Client, receiver: OtlpReceiver, torchserve: FakeTorchServe
) -> None:
    assert await predict(client, traceparent=TRACEPARENT[:-2] + "00") == 200
    given = torchserve.items[-1][0]["traceparent"]
    assert given.startswith(f"00-{TRACE}-")
    assert given.endswith("-00")
    assert await predict(client) == 200
    await until(lambda: bool(receiver.named("POST /predict")))
    assert TRACE not in {hex_of(span.trace_id) for span in receiver.spans}


async def test_another_try_is_a_second_job_beside_the_first(
    client: Client, receiver: OtlpReceiver, torchserve: FakeTorchServe
) -> None:
    torchserve.refusals = [(500, "Worker died.")]
    assert await predict(client, traceparent=TRACEPARENT) == 200
    await until(lambda: bool(receiver.named("POST /predict")))
    jobs = receiver.named("job")
    assert len({span.parent_span_id for span in jobs}) == 1
    assert [span.status.code == ERROR for span in jobs] == [True, False]
    assert attributes(jobs[0].attributes)["error.type"] == "retried"
    refused, answered = receiver.named("POST /predictions/{model_name}")
    assert attributes(refused.attributes)["http.response.status_code"] == 500
    assert answered.status.code != ERROR


async def test_nothing_that_a_client_sent_is_exported(
    client: Client, receiver: OtlpReceiver, torchserve: FakeTorchServe
) -> None:
    def refuse(value: Any) -> Any:
        if value == [SECRET_TEXT]:
            raise Refuse(500, SECRET_TEXT)
        return value

    torchserve.answer = refuse
    told = {
        name: SECRET_TEXT.replace(" ", "-")
        for name in ("Authorization", "X-API-Key", "X-Request-ID", "tracestate", "User-Agent")
    }
    told["traceparent"] = TRACEPARENT
    for inputs in (SECRET_TEXT, [SECRET_TEXT], SECRET_TEXT * 2):
        await predict(client, inputs, **told)
    told.pop("Authorization")
    told.pop("X-API-Key")
    await predict(client, [[SECRET_TEXT]], **told)
    await predict(client, SECRET_TEXT, **told)
    path = f"/models/{SECRET_TEXT}?token={SECRET_TEXT}"
    async with client.request(SECRET_TEXT.replace(" ", "-"), path) as response:
        assert response.status >= 400
    async with client.get(path) as response:
        assert response.status == 404
    await program_of(client).exporting.send_metrics()
    await until(lambda: len(receiver.named("GET /models/{name}")) == 1)
    assert receiver.metrics
    sent = receiver.sent
    assert SECRET_TEXT.encode() not in sent
    assert SECRET_TEXT.replace(" ", "-").encode() not in sent
    assert SECRET_TEXT.replace(" ", "%20").encode() not in sent


async def test_metrics_go_to_the_collector_with_opentelemetrys_names(
    client: Client, receiver: OtlpReceiver
) -> None:
    assert await predict(client) == 200
    await program_of(client).exporting.send_metrics()
    metrics = receiver.metrics
    requests = {
        attributes(point.attributes)["status"]: point.as_double
        for point in metrics["sidecar.requests"].sum.data_points
        if attributes(point.attributes)["route"] == "/predict"
    }
    assert requests["200"] == 1
    assert metrics["sidecar.requests"].sum.is_monotonic
    (wait,) = metrics["sidecar.queue_wait"].histogram.data_points
    assert metrics["sidecar.queue_wait"].unit == "s"
    assert (wait.count, sum(wait.bucket_counts)) == (1, 1)
    assert len(wait.bucket_counts) == len(wait.explicit_bounds) + 1
    assert metrics["sidecar.disk_free"].unit == "By"
    (took,) = [
        point
        for point in metrics["http.server.request.duration"].histogram.data_points
        if attributes(point.attributes)
        == {
            "http.request.method": "POST",
            "http.route": "/predict",
            "http.response.status_code": "200",
        }
    ]
    assert took.count == 1
    assert receiver.metrics["sidecar.model_operation.count"].sum.data_points


async def test_embeddings_are_told_as_generative_ai_is(
    client: Client, receiver: OtlpReceiver, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: Told([0.5, 0.5], {"tokens": 3})
    body = {"model": "other", "input": "a text"}
    async with client.post("/v1/embeddings", json=body) as response:
        assert response.status == 200, await response.text()
    await until(lambda: bool(receiver.named("POST /v1/embeddings")))
    told = attributes(receiver.named("POST /v1/embeddings")[0].attributes)
    assert told["gen_ai.operation.name"] == "embeddings"
    assert told["gen_ai.request.model"] == "other"
    await program_of(client).exporting.send_metrics()
    (took,) = receiver.metrics["gen_ai.server.request.duration"].histogram.data_points
    assert took.count == 1


async def test_a_collector_that_refuses_or_is_away_harms_no_request_and_is_counted(
    client: Client, receiver: OtlpReceiver
) -> None:
    receiver.status = 400
    assert await predict(client) == 200
    counts = program_of(client).exporting.tracing
    await until(lambda: counts.counts.not_taken > 0)
    assert counts.counts.exported == 0
    await program_of(client).exporting.send_metrics()
    await receiver.stop()
    assert await predict(client) == 200
    async with client.get("/metrics") as response:
        text = await response.text()
    (line,) = [
        line
        for line in text.splitlines()
        if 'sidecar_spans_dropped_total{reason="not_taken"}' in line
    ]
    assert float(line.split()[1]) > 0


def test_spans_that_find_no_room_are_dropped_and_counted() -> None:
    class Held(InMemorySpanExporter):
        """One that hangs until it may go on."""

        may_go_on = threading.Event()
        begun = threading.Event()

        def export(self, spans: Any) -> SpanExportResult:
            self.begun.set()
            assert self.may_go_on.wait(LIMIT_SECONDS)
            return super().export(spans)

    exporter = Held()
    export = BoundedExport(exporter, max_waiting=3)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(export)
    tracer = provider.get_tracer("test")
    for number in range(3):
        tracer.start_span(str(number)).end()
    assert exporter.begun.wait(LIMIT_SECONDS)  # with these three, which wait no more
    for number in range(5):
        tracer.start_span(str(number)).end()
    assert export.counts == SpanCounts(exported=0, queue_full=2, not_taken=0)
    exporter.may_go_on.set()
    provider.shutdown()
    assert export.counts == SpanCounts(exported=6, queue_full=2, not_taken=0)
    assert len(exporter.get_finished_spans()) == 6


def test_without_a_collector_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import asyncio, sys, json\n"
        "from pathlib import Path\n"
        "from sidecar.app import create_app\n"
        "from sidecar.settings import Settings\n"
        "asyncio.run(create_app(Settings(jwt_secret='x' * 32)))\n"
        "print(json.dumps(sorted(n for n in sys.modules if n.startswith('opentelemetry'))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
