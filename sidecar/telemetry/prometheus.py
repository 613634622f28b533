"""The metrics at /metrics, with a registry for each program: two in one process stay apart."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar.telemetry.histogram import Histogram, Series

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ModelMetrics:
    """What is observed of one model's jobs; the series are looked up once."""

    def __init__(self, wait: Series, engine: Series, size: Series) -> None:
        self.observe_queue_wait = wait.observe
        self._engine = engine.observe
        self._size = size.observe

    def observe_job(self, items: int, seconds: float) -> None:
        """Observe one job of *items*, *seconds* from sending it to receiving its answer."""
        self._size(items)
        self._engine(seconds)


class ModelGauges(NamedTuple):
    """One model's state at the moment of a scrape."""

    model: str
    queued: int
    in_flight: int
    workers: int


class Metrics:
    """All metrics of the sidecar."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._queue_wait = self._histogram(
            "queue_wait_seconds", "From arrival in the queue to the job", "model"
        )
        self._engine = self._histogram(
            "torchserve_seconds", "One job at TorchServe, its queue included", "model"
        )
        self._latency = self._histogram(
            "request_seconds", "From a request's arrival to its answer", "route"
        )
        self._batch_size = self._histogram("batch_size", "Inputs in a job", "model", SIZES)
        self._requests = Counter(
            "sidecar_requests", "Answers by status", ["route", "status"], registry=self.registry
        )
        self._answers: dict[tuple[str, int], Counter] = {}  # looking labels up takes a lock
        self._rejections = Counter(
            "sidecar_rejections", "Refusals by reason", ["reason"], registry=self.registry
        )
        self._illegal_transitions = Counter(
            "sidecar_illegal_transitions",
            "Steps of a model that the table of its states does not have: bugs",
            registry=self.registry,
        )
        self._background_failures = Counter(
            "sidecar_background_failures",
            "Failures of tasks that run beside the requests",
            ["task"],
            registry=self.registry,
        )

    def _histogram(
        self, name: str, text: str, label: str, bounds: Sequence[float] = SECONDS
    ) -> Histogram:
        histogram = Histogram(f"sidecar_{name}", text, label, bounds)
        self.registry.register(histogram)
        return histogram

    def model(self, key: str) -> ModelMetrics:
        """Return the observers for the model *key*."""
        return ModelMetrics(
            self._queue_wait.of(key), self._engine.of(key), self._batch_size.of(key)
        )

    def observe_latency(self, route: str, seconds: float) -> None:
        """Observe an answer on *route* that took *seconds*."""
        self._latency.of(route).observe(seconds)

    def count_answer(self, route: str, status: int) -> None:
        """Count an answer."""
        counter = self._answers.get((route, status))
        if counter is None:
            counter = self._requests.labels(route, status)
            self._answers[route, status] = counter
        counter.inc()

    def count_rejection(self, reason: str) -> None:
        """Count a refusal."""
        self._rejections.labels(reason).inc()

    def count_illegal_transition(self) -> None:
        """Count a step of a model that the table of transitions does not have."""
        self._illegal_transitions.inc()

    def count_background_failure(self, task: str) -> None:
        """Count a failure of the background task *task*."""
        self._background_failures.labels(task).inc()

    def watch(self, read: Callable[[], Iterable[ModelGauges]]) -> None:
        """Call *read* at each scrape, for the gauges of all models."""
        self.registry.register(_ModelGaugeCollector(read))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _ModelGaugeCollector(Collector):
    def __init__(self, read: Callable[[], Iterable[ModelGauges]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        queued = GaugeMetricFamily("sidecar_queued", "Inputs that wait", labels=["model"])
        in_flight = GaugeMetricFamily("sidecar_in_flight", "Inputs in jobs", labels=["model"])
        workers = GaugeMetricFamily("sidecar_workers", "READY workers", labels=["model"])
        for lane in self._read():
            queued.add_metric([lane.model], lane.queued)
            in_flight.add_metric([lane.model], lane.in_flight)
            workers.add_metric([lane.model], lane.workers)
        return [queued, in_flight, workers]
