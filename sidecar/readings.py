"""The metrics whose values are read at a scrape, from the parts of the program that keep them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

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
    """The parts of the program that the values are read from."""

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
    """Return the families that read *parts* at a scrape."""
    return [
        *_of_models(parts),
        *_of_torchserve(parts),
        *_of_caches(parts),
        *_of_machine(parts),
        *_of_spans(parts),
    ]


def _memory_bytes(model: Model) -> float | None:
    held = [model.worker_memory_mb(worker) for worker in model.workers]
    known = [mb for mb in held if mb is not None]
    return sum(known) * MB if known else None


class ModelGauge(NamedTuple):
    """A gauge of each enabled model; *read* returns None while the value is unknown."""

    name: str
    meaning: str
    read: Callable[[Model], float | None]
    kind: Literal["counter", "gauge"] = "gauge"


MODEL_GAUGES = (
    ModelGauge(
        "sidecar_requests_waiting",
        "Requests none of whose inputs is in a job yet.",
        lambda model: model.dispatcher.requests_waiting,
    ),
    ModelGauge(
        "sidecar_requests_running",
        "Requests with at least one input in a job.",
        lambda model: model.dispatcher.requests_running,
    ),
    ModelGauge("sidecar_queued", "Inputs in the queue.", lambda model: len(model.dispatcher.queue)),
    ModelGauge(
        "sidecar_oldest_input_seconds",
        "Age of the oldest input in the queue or in a job.",
        lambda model: model.dispatcher.oldest_seconds,
    ),
    ModelGauge("sidecar_in_flight", "Inputs in jobs.", lambda model: model.dispatcher.in_flight),
    ModelGauge("sidecar_workers", "READY workers.", lambda model: model.dispatcher.workers),
    ModelGauge(
        "sidecar_worker_deaths_total",
        "Workers that ended unexpectedly.",
        lambda model: model.crashes.total,
        "counter",
    ),
    ModelGauge(
        "sidecar_model_memory_bytes",
        "Memory of the READY workers, where it is known.",
        _memory_bytes,
    ),
)


def _of_models(parts: ReadingParts) -> list[Family]:
    def gauge(each: ModelGauge) -> Reading:
        def samples() -> Iterator[Sample]:
            for model in parts.models.enabled:
                if (value := each.read(model)) is not None:
                    yield Sample((model.key,), value)

        return Reading(each.kind, each.name, each.meaning, "model", read=samples)

    return [
        *map(gauge, MODEL_GAUGES),
        Reading(
            "gauge",
            "sidecar_model_state",
            "1 for the state of the model, 0 for the others.",
            "model",
            "state",
            read=lambda: _states(parts.models.values()),
        ),
        Reading(
            "gauge",
            "sidecar_model_info",
            "1 for each loaded model: the version that answers, its device and precision.",
            "model",
            "version",
            "device",
            "precision",
            read=lambda: _loaded(parts.models.values()),
        ),
        Summary(
            "sidecar_model_operation_seconds",
            "Operations on the workers of a model: how many, and how long they took.",
            "model",
            "operation",
            read=lambda: _operations(parts.models.values(), parts.history),
        ),
    ]


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
            "1 while TorchServe answers and the models loaded at the start are usable.",
            lambda: parts.reconciler.settled,
        ),
        _single(
            "gauge", "sidecar_torchserve_up", "1 while TorchServe answers.", lambda: parts.engine.up
        ),
        _single(
            "counter",
            "sidecar_torchserve_restarts_total",
            "Restarts of a managed TorchServe.",
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
            "Answers found in a cache, or shared with an identical request in progress.",
            "cache",
            read=lambda: [Sample((name,), each.hits) for name, each in lookups()],
        ),
        Reading(
            "counter",
            "sidecar_cache_misses_total",
            "Answers that were not in a cache.",
            "cache",
            read=lambda: [Sample((name,), each.misses) for name, each in lookups()],
        ),
    ]


class GpuGauge(NamedTuple):
    """A gauge of each GPU; *read* returns None where the driver does not tell the value."""

    name: str
    meaning: str
    read: Callable[[GpuReading], float | None]


GPU_GAUGES = (
    GpuGauge(
        "sidecar_gpu_memory_used_bytes",
        "Used memory of the GPU, by all processes.",
        lambda gpu: gpu.used_bytes,
    ),
    GpuGauge(
        "sidecar_gpu_memory_total_bytes", "Total memory of the GPU.", lambda gpu: gpu.total_bytes
    ),
    GpuGauge(
        "sidecar_gpu_utilization_ratio",
        "Share of time in which the GPU was busy, 0 to 1.",
        lambda gpu: gpu.utilization,
    ),
)


def _of_machine(parts: ReadingParts) -> list[Family]:
    def gpu(gauge: GpuGauge) -> Reading:
        def samples() -> Iterator[Sample]:
            for index, each in enumerate(parts.system.figures.each_gpu):
                if (value := gauge.read(each)) is not None:
                    yield Sample((str(index),), value)

        return Reading("gauge", gauge.name, gauge.meaning, "gpu", read=samples)

    def disk(name: str, meaning: str, field: str) -> Reading:
        def samples() -> Iterator[Sample]:
            for each in parts.system.figures.disks:
                yield Sample((each.folder,), getattr(each, field))

        return Reading("gauge", name, meaning, "folder", read=samples)

    def build() -> list[Sample]:
        return [Sample((sidecar.__version__,), 1)]

    return [
        Reading(
            "gauge",
            "sidecar_build_info",
            "Always 1; the label has the version of the server.",
            "version",
            read=build,
        ),
        *map(gpu, GPU_GAUGES),
        Reading(
            "gauge",
            "sidecar_memory_bytes",
            "Resident memory of the sidecar, TorchServe, the workers on this machine and their "
            "template, each with what it shares.",
            read=lambda: _megabytes(parts.system.figures.memory_usage_mb),
        ),
        Reading(
            "gauge",
            "sidecar_worker_template_bytes",
            "Memory of the process that workers are forked from, while it runs. They share it, "
            "and sidecar_model_memory_bytes leaves it out.",
            read=lambda: _megabytes(parts.system.figures.template_mb),
        ),
        disk(
            "sidecar_disk_free_bytes",
            "Free space on the disk of the folder: logs, temporary files, state or archives.",
            "free_bytes",
        ),
        disk("sidecar_disk_size_bytes", "Size of the disk of the folder.", "size_bytes"),
        _single(
            "counter",
            "sidecar_log_lines_lost_total",
            "Log lines that could not be written.",
            lost_lines,
        ),
        _single(
            "gauge",
            "sidecar_connections",
            "Open client connections.",
            lambda: sum(map(len, parts.listeners)),
        ),
        _single(
            "gauge",
            "sidecar_connections_stalled",
            "Open connections whose client does not read its answer.",
            lambda: sum(each.stalled for each in parts.listeners),
        ),
    ]


def _of_spans(parts: ReadingParts) -> list[Family]:
    def exported() -> float:
        return 0 if parts.exporting is None else parts.exporting.tracing.counts.exported

    def dropped() -> list[Sample]:
        counts = None if parts.exporting is None else parts.exporting.tracing.counts
        return [
            Sample(("queue_full",), counts.queue_full if counts else 0),
            Sample(("not_taken",), counts.not_taken if counts else 0),
        ]

    return [
        _single(
            "counter",
            "sidecar_spans_exported_total",
            "Spans that the collector accepted.",
            exported,
        ),
        Reading(
            "counter",
            "sidecar_spans_dropped_total",
            "Spans lost because the queue was full or the collector did not accept them.",
            "reason",
            read=dropped,
        ),
    ]


def _megabytes(value: float | None) -> list[Sample]:
    return [] if value is None else [Sample((), value * MB)]


def _single(
    kind: Literal["counter", "gauge"], name: str, meaning: str, read: Callable[[], float]
) -> Reading:
    return Reading(kind, name, meaning, read=lambda: [Sample((), float(read()))])
