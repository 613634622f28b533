"""An OpenTelemetry collector for tests: a real HTTP server that keeps what it is sent."""

from collections.abc import Iterable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class OtlpReceiver:
    """Takes spans and metrics by OTLP over HTTP; *status* is its answer to all of them."""

    def __init__(self) -> None:
        self.status = 200
        self.sent = b""  # all bodies, one after another
        self.spans: list[Span] = []
        self.metrics: dict[str, Metric] = {}  # the newest of each name
        self.resource: dict[str, Any] = {}
        app = web.Application()
        app.router.add_post("/v1/traces", self._take_spans)
        app.router.add_post("/v1/metrics", self._take_metrics)
        self._server = TestServer(app)

    async def start(self) -> None:
        await self._server.start_server()

    async def stop(self) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def named(self, name: str) -> list[Span]:
        """Return the spans that are called *name*, in the order in which they began."""
        found = [span for span in self.spans if span.name == name]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    async def _take_spans(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.sent += body
        if self.status == 200:
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = attributes(each.resource.attributes)
                self.spans += [span for scope in each.scope_spans for span in scope.spans]
        return web.Response(status=self.status)

    async def _take_metrics(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.sent += body
        if self.status == 200:
            for each in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in each.scope_metrics:
                    self.metrics |= {metric.name: metric for metric in scope.metrics}
        return web.Response(status=self.status)


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes as a dict."""
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in pairs}
