"""What TorchServe's metrics API counted, per model."""

from prometheus_client.parser import text_string_to_metric_families

from sidecar.schemas.core import TorchServeModelCounts, TorchServeStats


def parse_counts(text: str) -> TorchServeStats:
    """The counters in *text* (Prometheus' text format, metrics_mode=prometheus)."""
    models: dict[str, TorchServeModelCounts] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.labels.get("model_name")
            if name is None:
                continue
            counts = models.setdefault(name, TorchServeModelCounts(0, 0.0, 0.0))
            if sample.name == "ts_inference_requests_total":
                counts.jobs += int(sample.value)
            elif sample.name.startswith("ts_inference_latency_microseconds"):
                counts.inference_seconds += sample.value / 1e6
            elif sample.name.startswith("ts_queue_latency_microseconds"):
                counts.queue_seconds += sample.value / 1e6
    return TorchServeStats(
        jobs=sum(model.jobs for model in models.values()),
        inference_seconds=sum(model.inference_seconds for model in models.values()),
        queue_seconds=sum(model.queue_seconds for model in models.values()),
        models=models,
    )
