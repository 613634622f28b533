"""The metrics at /metrics.  One registry a program, so that two in one process do not mix."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar.telemetry.histogram import Histogram, Series

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ModelMetrics:
    """What the dispatcher of one model observes; its series are looked up once."""

    def __init__(self, wait: Series, engine: Series, size: Series) -> None:
        self.queue_wait = wait.observe
        self._engine = engine.observe
        self._size = size.observe

    def job(self, items: int, seconds: float) -> None:
        """One job of *items* took *seconds* from sending it to having its answer."""
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
        """The observers for the model *key*."""
        return ModelMetrics(
            self._queue_wait.of(key), self._engine.of(key), self._batch_size.of(key)
        )

    def latency(self, route: str, seconds: float) -> None:
        """One answer on *route* took *seconds*."""
        self._latency.of(route).observe(seconds)

    def answered(self, route: str, status: int) -> None:
        """One answer."""
        counter = self._answers.get((route, status))
        if counter is None:
            counter = self._requests.labels(route, status)
            self._answers[route, status] = counter
        counter.inc()

    def rejected(self, reason: str) -> None:
        """One refusal."""
        self._rejections.labels(reason).inc()

    def illegal_transition(self) -> None:
        """Count a step of a model that ought not to be."""
        self._illegal_transitions.inc()

    def background_failed(self, task: str) -> None:
        """Count a failure of the background task *task*."""
        self._background_failures.labels(task).inc()

    def watch(self, read: Callable[[], Iterable[ModelGauges]]) -> None:
        """*read* is asked for every model's state at each scrape."""
        self.registry.register(_ModelGaugeCollector(read))

    def text(self) -> bytes:
        """Prometheus' text format."""
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
