"""Runners that tell a trace of each request's time in the queue, its jobs and the handler.

A job is made of several requests' inputs, so each of them gets spans of its own for it, in its
own trace: one set for all its inputs in the job.  The handler is given the place of the job's
span with each input.  What the handler did is told by the times that it reports with its answer.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import msgspec
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
)
from opentelemetry.trace import Span, SpanKind

from sidecar.scheduling.batch_runner import BatchRunner
from sidecar.scheduling.dispatcher import Runners
from sidecar.scheduling.entry import AwaitedEntry, Entry
from sidecar.scheduling.job_format import JobAnswerHeader, Timings
from sidecar.scheduling.job_runner import Job, JobRunner
from sidecar.scheduling.request_runner import ForwardedJob, RequestRunner
from sidecar.scheduling.runner import Running
from sidecar.scheduling.writing_runner import WritingJobRunner
from sidecar.telemetry.trace_context import is_sampled
from sidecar.telemetry.tracing import Attributes, Tracing, fail, traceparent
from sidecar.torchserve.failures import EngineRefused
from sidecar.torchserve.forwarding import ForwardedRequest

HEADER = "traceparent"
MODEL = "sidecar.model"
TO_TORCHSERVE: Attributes = {
    HTTP_REQUEST_METHOD: "POST",
    "url.template": "/predictions/{model_name}",
    "peer.service": "torchserve",
}


def traced_runners(tracing: Tracing) -> Runners:
    """Return what runs jobs and tells *tracing* of them."""
    return Runners(
        partial(TracedJobRunner, tracing),
        partial(TracedRequestRunner, tracing),
        partial(TracedWritingJobRunner, tracing),
        partial(TracedBatchRunner, tracing),
    )


class TracedJobRunner(JobRunner):
    """Runs the jobs of one model for our handlers."""

    def __init__(self, tracing: Tracing, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tracing = tracing

        self._open: dict[Job, _OpenSpans] = {}

    def _send(self, job: Job) -> None:
        """Send *job*, in a span for each request."""
        self._open[job] = spans = _OpenSpans()
        spans.of_job.enter_context(
            _job_spans(self._tracing, self._model, job.members, self._clock())
        )
        super()._send(job)

    def _ask(self, job: Job, data: bytes) -> Running:
        places = dict.fromkeys(_place_of(entry) for entry in job.batch)
        spans = self._open[job]
        calling = _torchserve_spans(self._tracing, [each for each in places if each])
        spans.each_call = spans.of_call.enter_context(calling)
        return super()._ask(job, data)

    def _answer(self, job: Job, header: JobAnswerHeader, bodies: Sequence[bytes]) -> None:
        spans = self._open[job]
        for span in spans.each_call:
            span.set_attributes({"sidecar.device": header.device})
            self._record_phases(span, header.timings)
        spans.of_call.close()
        super()._answer(job, header, bodies)

    def fail(self, job: Job, exc: Exception) -> None:
        """Refuse the entries of *job*, or queue them again, by what *exc* says."""
        _end_failed(self._open[job].of_call, exc)
        super().fail(job, exc)

    def end(self, job: Job) -> None:
        """End *job* and its spans."""
        super().end(job)
        spans = self._open.pop(job)
        _end_failed(spans.of_call, asyncio.CancelledError())
        spans.of_job.close()

    def _record_phases(self, span: Span, timings: Timings) -> None:
        """Record what the handler did: one thing after another, up to now."""
        phases = {
            "decode": timings.decode_ms / 1000,
            "forward": timings.forward_ms / 1000,
            "encode": timings.encode_ms / 1000,
        }
        place, at = traceparent(span), self._clock() - sum(phases.values())
        for name, seconds in phases.items():
            self._tracing.record(f"handler {name}", place, {}, began=at, ended=at + seconds)
            at += seconds


class TracedWritingJobRunner(TracedJobRunner, WritingJobRunner):
    """Runs the jobs of one model that writes texts."""


class TracedBatchRunner(TracedJobRunner, BatchRunner):
    """Runs the batches of one model with a custom handler."""


class TracedRequestRunner(RequestRunner):
    """Forwards requests to a custom handler."""

    def __init__(self, tracing: Tracing, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tracing = tracing
        self._open: dict[ForwardedJob, _OpenSpans] = {}

    def _send(self, job: ForwardedJob) -> None:
        """Send *job*, in a span of the request; the handler is given the place of it."""
        entry = job.entry
        self._open[job] = spans = _OpenSpans()
        spans.of_job.enter_context(_job_spans(self._tracing, self._model, [entry], self._clock()))
        place, body = _place_of(entry), entry.body
        if place is None or not isinstance(body, ForwardedRequest):
            super()._send(job)
            return
        spans.of_call.enter_context(_torchserve_spans(self._tracing, [place]))
        others = [each for each in body.headers if each[0].lower() != HEADER]
        entry.body = msgspec.structs.replace(body, headers=[*others, (HEADER, place)])
        try:
            super()._send(job)
        finally:
            entry.body = body

    def fail(self, job: ForwardedJob, exc: Exception) -> None:
        """Refuse the entry of *job*, or queue it again, by what *exc* says."""
        if (spans := self._open.get(job)) is not None:
            _end_failed(spans.of_call, exc)
        super().fail(job, exc)

    def end(self, job: ForwardedJob) -> None:
        """End *job* and its spans."""
        super().end(job)
        spans = self._open.pop(job, None)
        if spans is not None:
            spans.of_call.close()
            spans.of_job.close()


class _OpenSpans:
    """The spans of a job in flight: *each_call* are those of the call of TorchServe."""

    def __init__(self) -> None:
        self.of_job = ExitStack()
        self.of_call = ExitStack()
        self.each_call: list[Span] = []


def _end_failed(spans: ExitStack, exc: BaseException) -> None:
    """End *spans* as an exception would, unless they have ended before."""
    spans.__exit__(type(exc), exc, exc.__traceback__)


def _place_of(entry: Entry) -> str | None:
    """Return where *entry* is in its trace, if its spans are recorded."""
    place = entry.traceparent
    return place if place is not None and is_sampled(place) else None


@contextmanager
def _job_spans(
    tracing: Tracing, model: str, members: Sequence[Entry], now: float
) -> Iterator[None]:
    """Span a job: for each request how long it was queued, and the job, where its entries are."""
    requests: dict[str, list[Entry]] = {}
    for entry in members:
        if (place := _place_of(entry)) is not None:
            requests.setdefault(place, []).append(entry)
    spans: dict[str, Span] = {}
    for place, entries in requests.items():
        first = min(entry.enqueued_at for entry in entries)
        tracing.record("queue", place, {MODEL: model}, began=first, ended=now)
        attributes: Attributes = {
            MODEL: model,
            "sidecar.job.inputs": len(members),
            "sidecar.request.inputs": len(entries),
        }
        spans[place] = span = tracing.begin("job", place, attributes, at=now)
        for entry in entries:
            entry.traceparent = traceparent(span)
    try:
        yield
    finally:
        for place, entries in requests.items():
            for entry in entries:
                entry.traceparent = place  # another try is beside this one, not under it
            if (kind := _failure(entries)) is not None:
                fail(spans[place], kind)
            spans[place].end()


def _failure(entries: Sequence[Entry]) -> str | None:
    """Return the kind of error of the first of *entries* that has no good answer."""
    for entry in entries:
        if entry.queued:
            return "retried"
        if not isinstance(entry, AwaitedEntry) or not entry.abandoned or entry.reply.cancelled():
            continue
        if (error := entry.reply.exception()) is not None:
            return type(error).__name__
    return None


@contextmanager
def _torchserve_spans(tracing: Tracing, places: Sequence[str]) -> Iterator[list[Span]]:
    """Span a call of TorchServe, at each of *places*."""
    with ExitStack() as stack:
        name = "POST /predictions/{model_name}"
        spans = [
            stack.enter_context(tracing.span(name, place, TO_TORCHSERVE, kind=SpanKind.CLIENT))
            for place in places
        ]
        try:
            yield spans
        except EngineRefused as exc:
            for span in spans:
                span.set_attribute(HTTP_RESPONSE_STATUS_CODE, exc.status)
            raise
