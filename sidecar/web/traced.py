"""Requests and their admission as spans, for whoever exports them."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiohttp import hdrs, web
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
)
from opentelemetry.semconv.attributes.network_attributes import NETWORK_PROTOCOL_VERSION
from opentelemetry.semconv.attributes.url_attributes import URL_SCHEME
from opentelemetry.trace import Span, SpanKind

from sidecar.telemetry.families import Family, Histogram
from sidecar.telemetry.trace_context import TRACEPARENT
from sidecar.telemetry.tracing import Tracing, fail, placed_at
from sidecar.web import request_head
from sidecar.web.admission import Admission
from sidecar.web.middleware import NO_ROUTE, route_of
from sidecar.web.route import Handler

SPAN = web.RequestKey("span", Span)
GENERATED = web.RequestKey("generated", dict[str, str])  # attributes of generative AI
OTHER_METHOD = "_OTHER"  # what semantic conventions call a method that is none of HTTP's
GENERATED_LABELS = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model")
GENERATIVE_BOUNDS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
    *(1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class GenerativeOperation(NamedTuple):
    """What semantic conventions for generative AI call the work of a route."""

    name: str
    output: str | None = None

    def attributes(self, model: str) -> dict[str, str]:
        """Return the attributes of a request to *model*."""
        told = {
            "gen_ai.operation.name": self.name,
            "gen_ai.provider.name": "torchserve",
            "gen_ai.request.model": model,
            "gen_ai.response.model": model,
        }
        return told if self.output is None else told | {"gen_ai.output.type": self.output}


SPEAKING = GenerativeOperation("generate_content", "speech")
WRITING_DOWN = GenerativeOperation("generate_content", "text")
OPERATIONS: Mapping[str, GenerativeOperation] = {
    "/v1/chat/completions": GenerativeOperation("chat", "text"),
    "/v1/completions": GenerativeOperation("text_completion", "text"),
    "/v1/embeddings": GenerativeOperation("embeddings"),
    "/v1/audio/speech": SPEAKING,
    "/v1/audio/transcriptions": WRITING_DOWN,
    "/v1/audio/translations": WRITING_DOWN,
    "/synthesize": SPEAKING,
    "/transcribe": WRITING_DOWN,
}


class RequestTracing:
    """Spans of requests, and how long requests took by OpenTelemetry's conventions."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self.durations = Histogram(
            "http.server.request.duration",
            "Duration of HTTP server requests.",
            HTTP_REQUEST_METHOD,
            HTTP_ROUTE,
            HTTP_RESPONSE_STATUS_CODE,
            bounds=BOUNDS,
        )
        self.generations = Histogram(
            "gen_ai.server.request.duration",
            "Duration of requests to generative models.",
            *GENERATED_LABELS,
            bounds=GENERATIVE_BOUNDS,
        )

    @property
    def families(self) -> list[Family]:
        """The metrics that OpenTelemetry's conventions name."""
        return [self.durations, self.generations]

    @web.middleware
    async def trace(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Run *handler* in a span, which continues the client's trace if there is one."""
        began, status = time.perf_counter(), 0
        span = self._begin(request)
        request[SPAN] = span
        try:
            with placed_at(span):
                response = await handler(request)
            status = response.status
            span.set_attribute(HTTP_RESPONSE_STATUS_CODE, status)
            if status >= 500:
                fail(span, str(status))
            return response
        except asyncio.CancelledError:
            span.set_attribute(ERROR_TYPE, "client_left")
            raise
        finally:
            span.end()
            taken = time.perf_counter() - began
            labels = (_method(request), route_of(request), str(status) if status else "")
            self.durations.of(*labels).observe(taken)
            if (told := request.get(GENERATED)) is not None:
                self.generations.of(*(told[name] for name in GENERATED_LABELS)).observe(taken)

    def _begin(self, request: web.Request) -> Span:
        method, route = _method(request), route_of(request)
        attributes = {
            HTTP_REQUEST_METHOD: method,
            URL_SCHEME: "http",
            NETWORK_PROTOCOL_VERSION: f"{request.version.major}.{request.version.minor}",
        }
        name = "HTTP" if method == OTHER_METHOD else method
        if route != NO_ROUTE:
            attributes[HTTP_ROUTE] = route
            name = f"{name} {route}"
        parent = request_head.given_traceparent(request)
        return self._tracing.begin(name, parent, attributes, kind=SpanKind.SERVER)

    @contextmanager
    def call(self, service: str, method: str, head: request_head.Headed) -> Iterator[Span]:
        """Run one call over gRPC in a span, which continues the client's trace if there is one."""
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
        parent = request_head.given_traceparent(head)
        span = self._tracing.begin(f"{service}/{method}", parent, attributes, kind=SpanKind.SERVER)
        try:
            with placed_at(span):
                yield span
        finally:
            span.end()

    def admission(self, *args: Any) -> Admission:
        """Return the admission of a request, which tells its spans."""
        return TracedAdmission(self._tracing, *args)


class TracedAdmission(Admission):
    """Admission in two spans: by the request's head, and to a model."""

    __slots__ = ("_tracing",)

    def __init__(self, tracing: Tracing, *args: Any) -> None:
        super().__init__(*args)
        self._tracing = tracing

    async def check_head(self) -> None:
        """Do the checks that need no body, in a span."""
        with self._tracing.span("admission", TRACEPARENT.get(), {}):
            await super().check_head()

    async def admit_to_model(self, key: str, name: str) -> None:
        """See to it that the model *key* takes this request, in a span."""
        attributes = {"sidecar.model": key}
        with self._tracing.span("admission to the model", TRACEPARENT.get(), attributes):
            await super().admit_to_model(key, name)
        if (span := self.request.get(SPAN)) is not None:
            span.set_attributes(attributes)
            if (operation := OPERATIONS.get(self._rules.route.path)) is not None:
                self.request[GENERATED] = told = operation.attributes(key)
                span.set_attributes(told)


def _method(request: web.Request) -> str:
    return request.method if request.method in hdrs.METH_ALL else OTHER_METHOD
