"""What the core endpoints answer.  A number is measured, or null; no key is ever left out."""

from typing import Literal

import msgspec

from sidecar.schemas.model_spec import ModelLimits, Workers


class TtsSupport(msgspec.Struct):
    """What speech synthesis offers here."""

    enabled: bool
    supported_models: list[str]
    features: list[str]


class Root(msgspec.Struct):
    """GET /"""

    message: str
    version: str
    status: Literal["starting", "running", "degraded", "draining"]
    timestamp: str
    environment: str
    tts_support: TtsSupport
    endpoints: dict[str, dict[str, str]]


class Checks(msgspec.Struct):
    """*inference_engine*: TorchServe answers; *model*: all of auto_load; *device*: it is usable."""

    inference_engine: bool
    model: bool
    device: bool

    @property
    def all(self) -> bool:
        """Whether everything is well."""
        return self.inference_engine and self.model and self.device


class EngineStats(msgspec.Struct):
    """Inference requests since start.  Times in seconds."""

    requests_processed: int
    avg_processing_time: float | None
    active_requests: int


class ZeroScaler(msgspec.Struct):
    """*last_activity*: epoch seconds."""

    status: Literal["healthy", "unhealthy", "disabled"]
    last_activity: float | None


class ModelLoaderHealth(msgspec.Struct):
    """*active_loaders*: loads in progress."""

    status: Literal["healthy", "unhealthy", "disabled"]
    active_loaders: int


class AutoscalerComponents(msgspec.Struct):
    """The parts of the autoscaler."""

    zero_scaler: ZeroScaler
    model_loader: ModelLoaderHealth


class AutoscalerHealth(msgspec.Struct):
    """The state of the autoscaler."""

    healthy: bool
    state: Literal["running", "disabled", "draining", "failed"]
    components: AutoscalerComponents


class Health(msgspec.Struct):
    """GET /health.  *timestamp*: epoch seconds; *failing_models*: why, by key."""

    healthy: bool
    checks: Checks
    timestamp: float
    engine_stats: EngineStats
    autoscaler: AutoscalerHealth
    failing_models: dict[str, str]


class Probe(msgspec.Struct):
    """GET /livez and /readyz"""

    status: Literal["ok", "unavailable"]


class InfoServerConfig(msgspec.Struct):
    """Which features of the server are in force."""

    optimization_level: Literal["low", "medium", "high"]
    caching_strategy: Literal["off", "conservative", "aggressive"]
    tts_backend: Literal["pytorch", "huggingface_transformers"] | None
    auto_optimization: bool
    server_features: list[str]


class SystemMetrics(msgspec.Struct):
    """The machine."""

    cpu_percent: float | None
    memory_percent: float | None
    memory_available_gb: float | None


class GpuMetrics(msgspec.Struct):
    """All GPUs together; memory is what the workers hold."""

    gpu_available: bool
    gpu_count: int
    memory_allocated_mb: float | None
    gpu_utilization: float | None


class TtsMetrics(msgspec.Struct):
    """Speech synthesis since start."""

    tts_models_loaded: int
    avg_synthesis_time_ms: float | None
    synthesis_requests_total: int


class PerformanceMetrics(msgspec.Struct):
    """*cache_hit_rate*: 0-1 since start; *models_in_memory*: with a READY worker."""

    cache_hit_rate: float | None
    models_in_memory: int
    system_metrics: SystemMetrics
    gpu_metrics: GpuMetrics
    tts_metrics: TtsMetrics


class TtsCapabilities(msgspec.Struct):
    """What the voices that can speak now can do."""

    text_to_speech: bool
    voice_cloning: bool
    emotion_synthesis: bool
    real_time: bool | None


class TtsService(msgspec.Struct):
    """Speech synthesis as a service."""

    status: Literal["healthy", "unhealthy", "disabled"]
    available_voices: list[str]
    supported_languages: list[str]
    loaded_tts_models: list[str]
    capabilities: TtsCapabilities


class Info(msgspec.Struct):
    """GET /info"""

    timestamp: str
    server_config: InfoServerConfig
    performance_metrics: PerformanceMetrics
    tts_service: TtsService


class StatsCounts(msgspec.Struct):
    """Inference requests since start.  Times in seconds, from arrival to answer."""

    requests_processed: int
    total_processing_time: float
    avg_processing_time: float | None
    active_requests: int
    queue_size: int
    memory_usage_mb: float | None


class PerformanceReport(msgspec.Struct):
    """The last 60 seconds: inputs per second, latencies in seconds; utilization 0-1."""

    throughput_fps: float | None
    latency_p50: float | None
    latency_p95: float | None
    latency_p99: float | None
    device_utilization: float | None


class TorchServeModelCounts(msgspec.Struct):
    """What TorchServe counted of one model: jobs, and sums of seconds."""

    jobs: int
    inference_seconds: float
    queue_seconds: float


class TorchServeStats(msgspec.Struct):
    """What TorchServe counted since it started."""

    jobs: int
    inference_seconds: float
    queue_seconds: float
    models: dict[str, TorchServeModelCounts]


class Stats(msgspec.Struct):
    """GET /stats"""

    stats: StatsCounts
    performance_report: PerformanceReport
    torchserve: TorchServeStats | None


class DeviceConfig(msgspec.Struct):
    """Where models run that do not say; *use_*: whether a loaded one does."""

    device_type: str
    device_id: int | None
    use_fp16: bool
    use_tensorrt: bool


class BatchConfig(msgspec.Struct):
    """Batches of models that do not say: directly at TorchServe, and by the sidecar."""

    batch_size: int
    max_batch_size: int


class Configuration(msgspec.Struct):
    """The defaults for models."""

    device: DeviceConfig
    batch: BatchConfig


class InferenceConfig(msgspec.Struct):
    """The same defaults, flat."""

    device_type: str
    batch_size: int
    use_fp16: bool
    enable_profiling: bool


class ServerConfig(msgspec.Struct):
    """Where the sidecar listens."""

    host: str
    port: int
    log_level: str


class LogFile(msgspec.Struct):
    """One log file's size, and when it was last written (UTC)."""

    size_mb: float
    last_modified: str


class LoggingConfig(msgspec.Struct):
    """Where the logs are."""

    log_level: str
    log_directory: str
    log_files: dict[str, LogFile]


class ModelConfig(msgspec.Struct):
    """What holds for one model.  Device, precision and compile are null until it is loaded."""

    enabled: bool
    auto_load: bool
    state: str
    version: str
    max_batch_size: int
    batch_size: int
    batch_delay_ms: int
    queue_size: int
    workers: Workers
    job_timeout_seconds: int
    device: str | None
    precision: str | None
    compile: bool | None


class Resources(msgspec.Struct):
    """The limits above which the server sheds load."""

    memory_percent: float | None
    gpu_memory_percent: float | None
    queue_depth: int | None


class RateLimiting(msgspec.Struct):
    """The limits in force."""

    enabled: bool
    backend: str | None
    requests_per_second: float | None
    burst: int | None
    concurrent_requests: int | None
    per_model: dict[str, ModelLimits]
    resources: Resources


class Config(msgspec.Struct):
    """GET /config"""

    configuration: Configuration
    inference_config: InferenceConfig
    server_config: ServerConfig
    logging_config: LoggingConfig
    models: dict[str, ModelConfig]
    rate_limiting: RateLimiting
