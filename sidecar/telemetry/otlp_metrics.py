"""The metrics of /metrics for a collector: the same values, named by OpenTelemetry's conventions.

`sidecar_queue_wait_seconds` is sent as `sidecar.queue_wait` with the unit s.  A collector that
exports it to Prometheus again restores the name of /metrics.
"""

import time
from collections.abc import Callable, Iterable, Iterator

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import Metric
from prometheus_client.samples import Sample as PrometheusSample

import sidecar
from sidecar.telemetry.families import Family

EXPORT_SECONDS = 5.0  # including retries
UNITS = {"_seconds": "s", "_bytes": "By", "_ratio": "1"}
CUMULATIVE = otel.AggregationTemporality.CUMULATIVE


class OtlpMetrics:
    """Sends the metrics of *families* to a collector.  Counts start when this is constructed."""

    def __init__(
        self, endpoint: str, resource: Resource, families: Callable[[], Iterable[Family]]
    ) -> None:
        self._exporter = OTLPMetricExporter(f"{endpoint}/v1/metrics", timeout=EXPORT_SECONDS)
        self._resource = resource
        self._families = families
        self._began_ns = time.time_ns()

    def read(self) -> otel.MetricsData:
        """Return the current metrics.  Call it in the event loop, which updates the families."""
        now_ns = time.time_ns()
        metrics = [
            each
            for family in self._families()
            for metric in family.collect()
            for each in self._converted(metric, now_ns)
        ]
        scope = otel.ScopeMetrics(InstrumentationScope("sidecar", sidecar.__version__), metrics, "")
        return otel.MetricsData([otel.ResourceMetrics(self._resource, [scope], "")])

    def send(self, data: otel.MetricsData) -> bool:
        """Send *data*, which blocks.  Return whether the collector accepted it."""
        return self._exporter.export(data) is otel.MetricExportResult.SUCCESS

    def stop_sending(self) -> None:
        """Abandon what is being sent."""
        self._exporter.shutdown()

    def _converted(self, metric: Metric, now_ns: int) -> Iterator[otel.Metric]:
        match metric.type:
            case "gauge":
                points = self._points(metric.samples, now_ns)
                yield _metric(metric.name, metric.documentation, otel.Gauge(points))
            case "counter":
                points = self._points(metric.samples, now_ns)
                data = otel.Sum(points, CUMULATIVE, is_monotonic=True)
                yield _metric(metric.name, metric.documentation, data)
            case "histogram":
                buckets = otel.Histogram(list(self._histograms(metric, now_ns)), CUMULATIVE)
                yield _metric(metric.name, metric.documentation, buckets)
            case "summary":  # sent as two counters: OpenTelemetry has only quantiles
                for suffix, unit in (("_count", ""), ("_sum", None)):
                    samples = [each for each in metric.samples if each.name.endswith(suffix)]
                    data = otel.Sum(self._points(samples, now_ns), CUMULATIVE, is_monotonic=True)
                    name, told = _named(metric.name)
                    yield otel.Metric(
                        f"{name}{suffix.replace('_', '.')}",
                        metric.documentation,
                        told if unit is None else unit,
                        data,
                    )

    def _points(
        self, samples: Iterable[PrometheusSample], now_ns: int
    ) -> list[otel.NumberDataPoint]:
        return [
            otel.NumberDataPoint(dict(each.labels), self._began_ns, now_ns, float(each.value))
            for each in samples
        ]

    def _histograms(self, metric: Metric, now_ns: int) -> Iterator[otel.HistogramDataPoint]:
        """Yield a point for each series, whose samples are its buckets, count and sum in turn."""
        bounds: list[float] = []
        counts: list[int] = []
        total = 0
        for sample in metric.samples:
            if sample.name.endswith("_bucket"):
                bounds.append(float(sample.labels["le"]))
                counts.append(int(sample.value) - total)
                total = int(sample.value)
            elif sample.name.endswith("_sum"):
                yield otel.HistogramDataPoint(
                    dict(sample.labels),
                    self._began_ns,
                    now_ns,
                    total,
                    sample.value,
                    counts,
                    bounds[:-1],  # without the last, which is infinite
                    min=float("inf"),
                    max=float("-inf"),
                )
                bounds, counts, total = [], [], 0


def _metric(name: str, meaning: str, data: otel.DataT) -> otel.Metric:
    told, unit = _named(name)
    return otel.Metric(told, meaning, unit, data)


def _named(name: str) -> tuple[str, str]:
    """Return OpenTelemetry's name and unit for the metric *name* of Prometheus."""
    if "." in name:  # already named by OpenTelemetry's conventions, and measured in seconds
        return name, "s"
    name = name.removesuffix("_total")
    for suffix, unit in UNITS.items():
        if name.endswith(suffix):
            name, told = name.removesuffix(suffix), unit
            break
    else:
        told = ""
    return name.replace("sidecar_", "sidecar.", 1), told
