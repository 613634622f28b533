"""GET /info: the machine, what is loaded, and which features are in force."""

from datetime import UTC, datetime
from typing import Literal

from sidecar.routes.speech_models import (
    capabilities,
    languages_of,
    speech_models,
    status_of,
    usable,
    voices_of,
)
from sidecar.schemas.core import (
    GpuMetrics,
    Info,
    InfoServerConfig,
    PerformanceMetrics,
    SystemMetrics,
    TtsCapabilities,
    TtsMetrics,
    TtsService,
)
from sidecar.services import Services
from sidecar.web.page import page
from sidecar.web.route import Route


@page
async def info(services: Services) -> Info:
    """Everything about this server that is not a setting."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return Info(now, _server_config(services), _performance(services), _tts_service(services))


def _server_config(services: Services) -> InfoServerConfig:
    enabled = [spec for spec in services.models.catalog.values() if spec.enabled]
    automatic = any("auto" in (spec.precision, spec.compile) for spec in enabled)
    return InfoServerConfig(
        optimization_level=_optimization_level(services),
        caching_strategy=_caching(services),
        tts_backend=_tts_backend(services),
        auto_optimization=automatic,
        server_features=_features(services, automatic=automatic),
    )


def _caching(services: Services) -> Literal["off", "conservative", "aggressive"]:
    """Nothing is kept, pages are, or results of models too."""
    settings = services.settings
    if settings.result_cache_mb and any(spec.cache for spec in services.models.catalog.values()):
        return "aggressive"
    return "conservative" if settings.page_cache_seconds else "off"


def _optimization_level(services: Services) -> Literal["low", "medium", "high"]:
    """Of lowered precision and compilation, how much a loaded model uses: none, one, both."""
    runtimes = services.models.runtimes()
    used = max(
        ((each.precision != "fp32") + (each.compile or each.tensorrt) for each in runtimes),
        default=0,
    )
    return ("low", "medium", "high")[used]


def _features(services: Services, *, automatic: bool) -> list[str]:
    runtimes = services.models.runtimes()
    features = ["batch_processing", "inflight_batching", "priority_queue", "request_timeouts"]
    if automatic:
        features.append("auto_optimization")
    if any(runtime.device.startswith("cuda") for runtime in runtimes):
        features.append("gpu_acceleration")
    if services.limits.per_client.limited:
        features.append("rate_limiting")
    if _caching(services) == "aggressive":
        features.append("result_caching")
    if services.settings.require_authentication:
        features.append("authentication")
    if usable(speech_models(services, "speech_synthesis")):
        features += ["tts_synthesis", "audio_streaming"]
    if usable(speech_models(services, "speech_recognition")):
        features.append("speech_recognition")
    return features


def _performance(services: Services) -> PerformanceMetrics:
    figures = services.system.figures
    return PerformanceMetrics(
        cache_hit_rate=services.lookups.hit_rate,
        models_in_memory=sum(model.loaded for model in services.models.values()),
        system_metrics=SystemMetrics(
            figures.cpu_percent, figures.memory_percent, figures.memory_available_gb
        ),
        gpu_metrics=GpuMetrics(
            figures.gpus.count > 0,
            figures.gpus.count,
            _gpu_memory_mb(services),
            figures.gpus.utilization,
        ),
        tts_metrics=_tts_metrics(services),
    )


def _gpu_memory_mb(services: Services) -> float | None:
    """What the workers hold on all GPUs, by the driver, else by themselves; null: not known."""
    told = services.system.figures.gpus.memory_allocated_mb
    held = [mb for each in services.room.residents() for mb in each.gpu_memory_mb.values()]
    return sum(held) if told is None and held else told


def _tts_backend(services: Services) -> Literal["pytorch", "huggingface_transformers"] | None:
    """Whose network the default voice is."""
    default = services.models.catalog.key_of(services.settings.default_tts_model)
    for model in speech_models(services, "speech_synthesis"):
        if model.key == default:
            return model.speech.backend
    return None


def _tts_metrics(services: Services) -> TtsMetrics:
    statistics = services.speech.statistics
    models = speech_models(services, "speech_synthesis")
    average = statistics.average
    return TtsMetrics(
        sum(model.loaded for model in models),
        None if average is None else round(average * 1000, 3),
        statistics.requests,
    )


def _tts_service(services: Services) -> TtsService:
    models = speech_models(services, "speech_synthesis")
    speaking = usable(models)
    able = capabilities(services)
    return TtsService(
        status_of(models),
        voices_of(speaking),
        languages_of(speaking),
        [model.key for model in models if model.loaded],
        TtsCapabilities(
            text_to_speech=able.text_to_speech,
            voice_cloning=able.voice_cloning,
            emotion_synthesis=able.emotion_synthesis,
            real_time=able.real_time,
        ),
    )


ROUTES = [Route("GET", "/info", info, "The machine and what is loaded", response=Info, page=True)]
