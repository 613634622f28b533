"""Spans for a collector, by OpenTelemetry's SDK.  Imported only where they are exported.

A span never holds what clients sent: its attributes are the names of routes and models, counts,
statuses and the kinds of errors.  What hinders the export harms no request: spans wait in a
bounded queue for a thread of the SDK's, and those that find no room are dropped, and counted.
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
MAX_WAITING = 4096  # spans that have ended and are not sent yet
BATCH_SPANS = 512
EXPORT_SECONDS = 5.0  # for one batch, further tries included
CLOSE_SECONDS = 3.0  # for what is left at the end

Attributes = Mapping[str, str | int | float | bool]


class SpanCounts(NamedTuple):
    """What became of the spans that ended."""

    exported: int
    found_no_room: int
    not_taken: int  # by the collector, or it did not answer


class Tracing:
    """Begins spans, and knows where in its trace each of them is."""

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
        """What became of the spans up to now."""
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
        """Begin a span under *parent*, a traceparent; *at* is a time of the clock, None: now."""
        context = Context()
        if parent is not None:
            context = self._propagator.extract({"traceparent": parent}, context)
        started = None if at is None else self.epoch_ns(at)
        return self._tracer.start_span(name, context, kind, attributes, start_time=started)

    def record(
        self, name: str, parent: str, attributes: Attributes, *, began: float, ended: float
    ) -> None:
        """Record a span that is over; *began* and *ended* are times of the clock."""
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
        """Span what happens in the `with` block; an exception marks it as failed, by its kind."""
        span = self.begin(name, parent, attributes, kind=kind)
        try:
            yield span
        except BaseException as exc:
            fail(span, type(exc).__name__)
            raise
        finally:
            span.end()

    def epoch_ns(self, at: float) -> int:
        """Return nanoseconds since the epoch for *at*, a time of the clock."""
        return self._epoch_ns + round(at * 1e9)

    async def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_SECONDS)
        self._export.stop_sending()


def resource() -> Resource:
    """Return what sends spans and metrics; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES add."""
    ours = Resource({SERVICE_NAME: DEFAULT_SERVICE_NAME, SERVICE_VERSION: sidecar.__version__})
    told = Resource.create()
    if str(told.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return told.merge(ours)
    return ours.merge(told)


def traceparent(span: Span) -> str:
    """Return the place of *span* in its trace, for who works under it."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def fail(span: Span, kind: str) -> None:
    """Mark *span* as failed by an error of *kind*; never by a sentence, which may quote."""
    span.set_attribute(ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR))


@contextmanager
def placed_at(span: Span) -> Iterator[None]:
    """Let the request that is being served be at *span* in the `with` block."""
    mark = TRACEPARENT.set(traceparent(span))
    try:
        yield
    finally:
        TRACEPARENT.reset(mark)


class BoundedExport(SpanProcessor):
    """Hands spans to the SDK's thread; those for which *max_waiting* leaves no room are dropped."""

    def __init__(self, exporter: SpanExporter, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._exporter = _CountingExporter(exporter)
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=max_waiting,
            max_export_batch_size=min(BATCH_SPANS, max_waiting),
        )
        self._accepted = 0
        self._found_no_room = 0

    @property
    def counts(self) -> SpanCounts:
        """What became of the spans up to now."""
        exporter = self._exporter
        return SpanCounts(exporter.exported, self._found_no_room, exporter.not_taken)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue *span* if it is sampled and there is room for it."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._accepted - self._exporter.received >= self._max_waiting:
            self._found_no_room += 1
            return
        self._accepted += 1
        self._batches.on_end(span)

    def shutdown(self) -> None:
        """Send what is left."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def stop_sending(self) -> None:
        """Give up what is left."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits."""
        return self._batches.force_flush(timeout_millis)


class _CountingExporter(SpanExporter):
    """Counts what *exporter* does; the SDK's thread calls it."""

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
