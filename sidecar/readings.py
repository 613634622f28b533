"""The metrics that are read at a scrape: what the parts of the program know of themselves."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sidecar
from sidecar.caching.lookups import Lookups
from sidecar.models.history import History
from sidecar.models.model import Model
from sidecar.models.reconciler import Reconciler
from sidecar.models.registry import ModelRegistry
from sidecar.models.states import State
from sidecar.schemas.autoscaler import EventType
from sidecar.settings import MB
from sidecar.telemetry.families import Family, Reading, Sample, Summary, SummarySample
from sidecar.telemetry.gpus import GpuReading
from sidecar.telemetry.log_queue import lost_lines
from sidecar.telemetry.system import SystemSampler
from sidecar.torchserve.engine_watch import EngineWatch
from sidecar.torchserve.process import TorchServeProcess
from sidecar.web.middleware import OpenConnections

if TYPE_CHECKING:
    from sidecar.exporting import Exporting

SHOWN_STATES = sorted({state.shown for state in State})
OPERATIONS: Mapping[EventType, str] = {
    "load": "load",
    "wake": "wake",
    "scale_to_zero": "sleep",
    "unload": "unload",
    "scale_up": "scale_up",
    "scale_down": "scale_down",
    "failure": "failed_load",
}


@dataclass(frozen=True, slots=True)
class ReadingParts:
    """What is read."""

    models: ModelRegistry
    history: History
    reconciler: Reconciler
    engine: EngineWatch
    process: TorchServeProcess | None
    system: SystemSampler
    result_lookups: Lookups
    page_lookups: Lookups
    listeners: Sequence[OpenConnections]
    exporting: "Exporting | None"


def all_readings(parts: ReadingParts) -> list[Family]:
    """Return what *parts* tell at a scrape."""
    return [
        *_of_models(parts),
        *_of_torchserve(parts),
        *_of_caches(parts),
        *_of_machine(parts),
        *_of_spans(parts),
    ]


def _of_models(parts: ReadingParts) -> list[Family]:
    def gauge(name: str, meaning: str, read: Callable[[Model], float | None]) -> Reading:
        def samples() -> Iterator[Sample]:
            for model in parts.models.enabled:
                if (value := read(model)) is not None:
                    yield Sample((model.key,), value)

        return Reading("gauge", name, meaning, "model", read=samples)

    def deaths() -> Iterator[Sample]:
        return (Sample((each.key,), each.crashes.total) for each in parts.models.enabled)

    return [
        gauge(
            "sidecar_requests_waiting",
            "Requests of which no input is in a job yet.",
            lambda model: model.dispatcher.count_requests().waiting,
        ),
        gauge(
            "sidecar_requests_running",
            "Requests of which an input is in a job.",
            lambda model: model.dispatcher.count_requests().running,
        ),
        gauge("sidecar_queued", "Inputs that wait.", lambda model: len(model.dispatcher.queue)),
        gauge(
            "sidecar_oldest_input_seconds",
            "For how long the oldest input has been in the queue and in its job.",
            lambda model: model.dispatcher.oldest_seconds,
        ),
        gauge("sidecar_in_flight", "Inputs in jobs.", lambda model: model.dispatcher.in_flight),
        gauge("sidecar_workers", "READY workers.", lambda model: model.dispatcher.workers),
        Reading(
            "counter",
            "sidecar_worker_deaths_total",
            "Workers that ended unasked.",
            "model",
            read=deaths,
        ),
        gauge(
            "sidecar_model_memory_bytes",
            "Memory that the READY workers hold, where it is known.",
            _memory_bytes,
        ),
        Reading(
            "gauge",
            "sidecar_model_state",
            "1 for the state that the model is in, 0 for the others.",
            "model",
            "state",
            read=lambda: _states(parts.models.values()),
        ),
        Reading(
            "gauge",
            "sidecar_model_info",
            "1 for each model that is loaded: which version answers, and what runs it.",
            "model",
            "version",
            "device",
            "precision",
            read=lambda: _loaded(parts.models.values()),
        ),
        Summary(
            "sidecar_model_operation_seconds",
            "What was done to the workers of a model, how often, and how long it took.",
            "model",
            "operation",
            read=lambda: _operations(parts.models.values(), parts.history),
        ),
    ]


def _memory_bytes(model: Model) -> float | None:
    held = [model.worker_memory_mb(worker) for worker in model.workers]
    known = [mb for mb in held if mb is not None]
    return sum(known) * MB if known else None


def _states(models: Iterable[Model]) -> Iterator[Sample]:
    for model in models:
        for state in SHOWN_STATES:
            yield Sample((model.key, state), float(model.state.shown == state))


def _loaded(models: Iterable[Model]) -> Iterator[Sample]:
    for model in models:
        if model.loaded:
            runtime = model.runtime
            device = runtime.device if runtime else ""
            precision = runtime.precision if runtime else ""
            yield Sample((model.key, model.version or "", device, precision), 1)


def _operations(models: Iterable[Model], history: History) -> Iterator[SummarySample]:
    for model in models:
        for event, name in OPERATIONS.items():
            done = history.done(model.key, event)
            yield SummarySample((model.key, name), done.times, done.seconds)


def _of_torchserve(parts: ReadingParts) -> list[Family]:
    return [
        _single(
            "gauge",
            "sidecar_ready",
            "1 while TorchServe answers and the models that are loaded at the start can be used.",
            lambda: parts.reconciler.settled,
        ),
        _single(
            "gauge", "sidecar_torchserve_up", "1 while TorchServe answers.", lambda: parts.engine.up
        ),
        _single(
            "counter",
            "sidecar_torchserve_restarts_total",
            "How often a managed TorchServe was started again.",
            lambda: max(parts.process.starts - 1, 0) if parts.process else 0,
        ),
    ]


def _of_caches(parts: ReadingParts) -> list[Family]:
    def lookups() -> Sequence[tuple[str, Lookups]]:
        return ("results", parts.result_lookups), ("pages", parts.page_lookups)

    return [
        Reading(
            "counter",
            "sidecar_cache_hits_total",
            "Answers that a cache had, or that were being computed for somebody else.",
            "cache",
            read=lambda: [Sample((name,), each.hits) for name, each in lookups()],
        ),
        Reading(
            "counter",
            "sidecar_cache_misses_total",
            "Answers that a cache did not have.",
            "cache",
            read=lambda: [Sample((name,), each.misses) for name, each in lookups()],
        ),
    ]


def _of_machine(parts: ReadingParts) -> list[Family]:
    def gpu(name: str, meaning: str, read: Callable[[GpuReading], float | None]) -> Reading:
        def samples() -> Iterator[Sample]:
            for index, each in enumerate(parts.system.figures.each_gpu):
                if (value := read(each)) is not None:
                    yield Sample((str(index),), value)

        return Reading("gauge", name, meaning, "gpu", read=samples)

    def disk(name: str, meaning: str, field: str) -> Reading:
        def samples() -> Iterator[Sample]:
            for each in parts.system.figures.disks:
                yield Sample((each.folder,), getattr(each, field))

        return Reading("gauge", name, meaning, "folder", read=samples)

    def build() -> list[Sample]:
        return [Sample((sidecar.__version__,), 1)]

    return [
        Reading(
            "gauge", "sidecar_build_info", "1, with the server's version.", "version", read=build
        ),
        gpu(
            "sidecar_gpu_memory_used_bytes",
            "Memory of the GPU that is in use, by whomever.",
            lambda each: each.used_bytes,
        ),
        gpu(
            "sidecar_gpu_memory_total_bytes",
            "Memory that the GPU has.",
            lambda each: each.total_bytes,
        ),
        gpu(
            "sidecar_gpu_utilization_ratio",
            "Share of the time in which the GPU was at work, 0 to 1.",
            lambda each: each.utilization,
        ),
        Reading(
            "gauge",
            "sidecar_memory_bytes",
            "Resident memory of the sidecar, TorchServe and the workers on this machine.",
            read=lambda: _memory(parts.system),
        ),
        disk(
            "sidecar_disk_free_bytes",
            "Room that is left where the folder lies: for logs, for temporary files, for the "
            "state, for archives.",
            "free_bytes",
        ),
        disk("sidecar_disk_size_bytes", "The whole room there.", "size_bytes"),
        _single(
            "counter",
            "sidecar_log_lines_lost_total",
            "Lines that could not be written to a log.",
            lost_lines,
        ),
        _single(
            "gauge",
            "sidecar_connections",
            "Connections of clients that are open.",
            lambda: sum(map(len, parts.listeners)),
        ),
        _single(
            "gauge",
            "sidecar_connections_stalled",
            "Those of them whose client reads nothing of its answer.",
            lambda: sum(each.stalled for each in parts.listeners),
        ),
    ]


def _of_spans(parts: ReadingParts) -> list[Family]:
    def exported() -> float:
        return 0 if parts.exporting is None else parts.exporting.tracing.counts.exported

    def dropped() -> list[Sample]:
        counts = None if parts.exporting is None else parts.exporting.tracing.counts
        return [
            Sample(("queue_full",), counts.found_no_room if counts else 0),
            Sample(("not_taken",), counts.not_taken if counts else 0),
        ]

    return [
        _single(
            "counter",
            "sidecar_spans_exported_total",
            "Spans that the collector took.",
            exported,
        ),
        Reading(
            "counter",
            "sidecar_spans_dropped_total",
            "Spans that are lost: too many waited, or the collector did not take them.",
            "reason",
            read=dropped,
        ),
    ]


def _memory(system: SystemSampler) -> list[Sample]:
    used = system.figures.memory_usage_mb
    return [] if used is None else [Sample((), used * MB)]


def _single(
    kind: Literal["counter", "gauge"], name: str, meaning: str, read: Callable[[], float]
) -> Reading:
    return Reading(kind, name, meaning, read=lambda: [Sample((), float(read()))])
