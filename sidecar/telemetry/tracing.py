"""Spans for a collector, made with OpenTelemetry's SDK.  Imported only if they are exported.

A span never contains what clients sent: its attributes are names of routes and models, counts,
statuses and classes of errors.  A slow or missing collector does not affect requests: spans wait
in a bounded queue for a thread of the SDK, and those that do not fit are dropped and counted.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.service_attributes import SERVICE_NAME, SERVICE_VERSION
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import sidecar
from sidecar.telemetry.trace_context import TRACEPARENT

DEFAULT_SERVICE_NAME = "torchserve-sidecar"
MAX_WAITING = 4096  # ended spans that have not been sent
BATCH_SPANS = 512
EXPORT_SECONDS = 5.0  # for one batch, including retries
CLOSE_SECONDS = 3.0  # for the remaining spans at shutdown

Attributes = Mapping[str, str | int | float | bool]


class SpanCounts(NamedTuple):
    """How many of the ended spans were exported, and how many were lost."""

    exported: int
    queue_full: int
    not_taken: int  # by the collector, or it did not answer


class Tracing:
    """Starts and records spans, and exports them."""

    def __init__(self, endpoint: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.resource = resource()
        exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=EXPORT_SECONDS)
        self._export = BoundedExport(exporter)
        self._provider = TracerProvider(resource=self.resource, shutdown_on_exit=False)
        self._provider.add_span_processor(self._export)
        self._tracer = self._provider.get_tracer("sidecar", sidecar.__version__)
        self._propagator = TraceContextTextMapPropagator()
        self._epoch_ns = time.time_ns() - round(clock() * 1e9)

    @property
    def counts(self) -> SpanCounts:
        """The counts of spans so far."""
        return self._export.counts

    def begin(
        self,
        name: str,
        parent: str | None,
        attributes: Attributes,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        at: float | None = None,
    ) -> Span:
        """Start a span below *parent*, a traceparent, at the time *at* of the clock or now."""
        context = Context()
        if parent is not None:
            context = self._propagator.extract({"traceparent": parent}, context)
        started = None if at is None else self.epoch_ns(at)
        return self._tracer.start_span(name, context, kind, attributes, start_time=started)

    def record(
        self, name: str, parent: str, attributes: Attributes, *, began: float, ended: float
    ) -> None:
        """Record a span that has ended.  *began* and *ended* are times of the clock."""
        span = self.begin(name, parent, attributes, at=began)
        span.end(self.epoch_ns(ended))

    @contextmanager
    def span(
        self,
        name: str,
        parent: str | None,
        attributes: Attributes,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Iterator[Span]:
        """Record the `with` block as a span.  An exception marks it as failed, with its class."""
        span = self.begin(name, parent, attributes, kind=kind)
        try:
            yield span
        except BaseException as exc:
            fail(span, type(exc).__name__)
            raise
        finally:
            span.end()

    def epoch_ns(self, at: float) -> int:
        """Return *at*, a time of the clock, in nanoseconds since the epoch."""
        return self._epoch_ns + round(at * 1e9)

    async def close(self) -> None:
        """Send the remaining spans, for a few seconds at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_SECONDS)
        self._export.stop_sending()


def resource() -> Resource:
    """Return this service's attributes, with OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES."""
    ours = Resource({SERVICE_NAME: DEFAULT_SERVICE_NAME, SERVICE_VERSION: sidecar.__version__})
    told = Resource.create()
    if str(told.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return told.merge(ours)
    return ours.merge(told)


def traceparent(span: Span) -> str:
    """Return the position of *span* in its trace, to be the parent of other spans."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def fail(span: Span, kind: str) -> None:
    """Mark *span* as failed with the class of the error.  A message might quote the client."""
    span.set_attribute(ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR))


@contextmanager
def placed_at(span: Span) -> Iterator[None]:
    """Make *span* the position of the current request in its trace for the `with` block."""
    mark = TRACEPARENT.set(traceparent(span))
    try:
        yield
    finally:
        TRACEPARENT.reset(mark)


class BoundedExport(SpanProcessor):
    """Passes spans to the SDK's thread.  If *max_waiting* spans wait, further ones are dropped."""

    def __init__(self, exporter: SpanExporter, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._exporter = _CountingExporter(exporter)
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=max_waiting,
            max_export_batch_size=min(BATCH_SPANS, max_waiting),
        )
        self._accepted = 0
        self._queue_full = 0

    @property
    def counts(self) -> SpanCounts:
        """The counts of spans so far."""
        exporter = self._exporter
        return SpanCounts(exporter.exported, self._queue_full, exporter.not_taken)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue *span* if it is sampled and there is room for it."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._accepted - self._exporter.received >= self._max_waiting:
            self._queue_full += 1
            return
        self._accepted += 1
        self._batches.on_end(span)

    def shutdown(self) -> None:
        """Send the remaining spans."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def stop_sending(self) -> None:
        """Abandon the remaining spans."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send the waiting spans."""
        return self._batches.force_flush(timeout_millis)


class _CountingExporter(SpanExporter):
    """Counts the spans that *exporter* sends.  The SDK's thread calls it."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._stopped = False
        self.received = 0
        self.exported = 0
        self.not_taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.received += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self.exported += len(spans)
            else:
                self.not_taken += len(spans)
        return result

    def shutdown(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
