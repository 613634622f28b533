"""The metrics of /metrics.  Each instance of the program has a registry of its own.

Events are counted here as they happen.  `sidecar.readings` adds the values read at a scrape.
"""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from sidecar.telemetry.families import Counter, Family, Histogram, Series

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FACTORS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5)

JOB_FAILURES = ("gone", "refused", "malformed", "not_sent", "sidecar")
INPUT_FAILURES = (  # the errors' names
    "EngineUnavailable",
    "Exhausted",
    "InternalError",
    "ModelNotReady",
    "OutOfMemory",
    "WorkerDied",
)

Added = TypeVar("Added", bound=Family)


class JobSeries(NamedTuple):
    """The series of the jobs of one version of a model.  Times are in seconds."""

    queue_wait: Series  # of an input
    engine: Series  # from sending a job to its answer
    size: Series  # inputs in a job


class JobSeriesByVersion(dict[str, JobSeries]):
    """The series of the jobs of one model, by its version: looked up once for each."""

    def __init__(self, model: str, metrics: "Metrics") -> None:
        super().__init__()
        self._model = model
        self._metrics = metrics

    def __missing__(self, version: str) -> JobSeries:
        """Look up the series of the jobs of *version*."""
        metrics, labels = self._metrics, (self._model, version)
        self[version] = series = JobSeries(
            metrics.queue_wait.of(*labels),
            metrics.engine.of(*labels),
            metrics.batch_size.of(*labels),
        )
        return series


class ModelMetrics:
    """The metrics of one model."""

    def __init__(self, model: str, metrics: "Metrics") -> None:
        self._model = model
        self._metrics = metrics
        self.jobs = JobSeriesByVersion(model, metrics)
        for reason in JOB_FAILURES:
            metrics.jobs_failed.expect(model, reason)
        for reason in INPUT_FAILURES:
            metrics.inputs_failed.expect(model, reason)

    def count_failed_job(self, reason: str) -> None:
        """Count a job that failed as a whole.  *reason* is one of JOB_FAILURES."""
        self._metrics.jobs_failed.add(self._model, reason)

    def count_failed_input(self, error: Exception) -> None:
        """Count an input that was answered with *error*, which the client did not cause."""
        self._metrics.inputs_failed.add(self._model, type(error).__name__)


class SpeechMetrics(NamedTuple):
    """The metrics of speech, by model.  Times are in seconds."""

    first_audio: Histogram  # of streams, from the arrival of the request
    factor: Histogram  # processing time per second of audio
    spoken: Counter
    heard: Counter


class Metrics:
    """All metrics of the sidecar."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        self.families: list[Family] = []
        self.answers = self._counter(
            "sidecar_requests_total", "Answers, by route and status.", "route", "status"
        )
        self.abandoned = self._counter(
            "sidecar_requests_abandoned_total",
            "Requests whose client disconnected before the answer was sent.",
            "route",
        )
        self.rejections = self._counter(
            "sidecar_rejections_total",
            "Answers with status 401, 403, 429 or 503, by error.",
            "reason",
        )
        self.latency = self._timed(
            "sidecar_request_seconds",
            "Time from the arrival of an inference request to its answer; successes only.",
            "route",
        )
        self.queue_wait = self._timed(
            "sidecar_queue_wait_seconds",
            "Time from the arrival of an input in the queue to its job.",
            "model",
            "version",
        )
        self.engine = self._timed(
            "sidecar_torchserve_seconds",
            "Time from sending a job to TorchServe to its answer.",
            "model",
            "version",
        )
        self.batch_size = self.add(
            Histogram("sidecar_batch_size", "Inputs in a job.", "model", "version", bounds=SIZES)
        )
        self.jobs_failed = self._counter(
            "sidecar_jobs_failed_total",
            "Jobs that failed as a whole; their inputs are retried if that may help.",
            "model",
            "reason",
        )
        self.inputs_failed = self._counter(
            "sidecar_inputs_failed_total",
            "Inputs whose final answer was an error that the client did not cause.",
            "model",
            "reason",
        )
        self.speech = SpeechMetrics(
            first_audio=self._timed(
                "sidecar_time_to_first_audio_seconds",
                "Time from the arrival of a request for streamed speech to its first audio.",
                "model",
            ),
            factor=self.add(
                Histogram(
                    "sidecar_real_time_factor",
                    "Processing time per second of audio, synthesised or transcribed.",
                    "model",
                    bounds=FACTORS,
                )
            ),
            spoken=self._counter(
                "sidecar_audio_synthesized_seconds_total", "Seconds of audio synthesised.", "model"
            ),
            heard=self._counter(
                "sidecar_audio_transcribed_seconds_total",
                "Seconds of audio transcribed, including silence.",
                "model",
            ),
        )
        self.illegal_transitions = self._counter(
            "sidecar_illegal_transitions_total",
            "State transitions of models that are not in the table; anything but 0 is a bug.",
        )
        self.illegal_transitions.expect()
        self.background_failures = self._counter(
            "sidecar_background_failures_total",
            "Failures of background tasks; each task is restarted.",
            "task",
        )

    def add(self, family: Added) -> Added:
        """Add *family* to /metrics and return it."""
        self.families.append(family)
        self.registry.register(family)
        return family

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return self.add(Counter(name, meaning, *labels))

    def _timed(self, name: str, meaning: str, *labels: str) -> Histogram:
        return self.add(Histogram(name, meaning, *labels, bounds=SECONDS))

    def expect_route(self, route: str, statuses: Iterable[int]) -> None:
        """Begin the counts of answers on *route* with *statuses* at 0."""
        self.abandoned.expect(route)
        for status in statuses:
            self.answers.expect(route, str(status))

    def expect_rejections(self, reasons: Iterable[str]) -> None:
        """Begin the counts of refusals for *reasons* at 0."""
        for reason in reasons:
            self.rejections.expect(reason)

    def expect_tasks(self, names: Iterable[str]) -> None:
        """Begin the counts of failures of the background tasks *names* at 0."""
        for name in names:
            self.background_failures.expect(name)

    def model(self, key: str) -> ModelMetrics:
        """Return the metrics of the model *key*."""
        return ModelMetrics(key, self)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format, except those of the process."""
        return generate_latest(self.registry)

    def process_text(self) -> bytes:
        """Return the metrics `process_…`.  Blocks: they are read from files."""
        return generate_latest(self._process)
