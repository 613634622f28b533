"""GET /info: the machine, what is loaded, and which features are in force."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from aiohttp import web

from sidecar.access.limits import Limits
from sidecar.caching.lookups import Lookups
from sidecar.models.registry import ModelRegistry
from sidecar.models.room import MemoryRoom
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
from sidecar.settings import Settings
from sidecar.telemetry.statistics import SpeechStatistics
from sidecar.telemetry.system import SystemSampler
from sidecar.web.page import page
from sidecar.web.route import Route


@dataclass(frozen=True, slots=True)
class InfoParts:
    """The parts that /info describes."""

    settings: Settings
    models: ModelRegistry
    room: MemoryRoom
    speech_statistics: SpeechStatistics
    limits: Limits
    lookups: Lookups
    system: SystemSampler


PARTS = web.AppKey("info", InfoParts)


@page(PARTS)
async def info(parts: InfoParts) -> Info:
    """Answer with everything about this server that is not a setting."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return Info(now, _server_config(parts), _performance(parts), _tts_service(parts))


def _server_config(parts: InfoParts) -> InfoServerConfig:
    enabled = [spec for spec in parts.models.catalog.values() if spec.enabled]
    automatic = any("auto" in (spec.precision, spec.compile) for spec in enabled)
    return InfoServerConfig(
        optimization_level=_optimization_level(parts),
        caching_strategy=_caching(parts),
        tts_backend=_tts_backend(parts),
        auto_optimization=automatic,
        server_features=_features(parts, automatic=automatic),
    )


def _caching(parts: InfoParts) -> Literal["off", "conservative", "aggressive"]:
    """Return what is cached: nothing, pages, or results of models too."""
    settings = parts.settings
    if settings.result_cache_mb and any(spec.cache for spec in parts.models.catalog.values()):
        return "aggressive"
    return "conservative" if settings.page_cache_seconds else "off"


def _optimization_level(parts: InfoParts) -> Literal["low", "medium", "high"]:
    """Return how much of lowered precision and compilation a loaded model uses: none, one, both."""
    runtimes = parts.models.runtimes()
    used = max(
        ((each.precision != "fp32") + (each.compile or each.tensorrt) for each in runtimes),
        default=0,
    )
    return ("low", "medium", "high")[used]


def _features(parts: InfoParts, *, automatic: bool) -> list[str]:
    runtimes = parts.models.runtimes()
    features = ["batch_processing", "inflight_batching", "priority_queue", "request_timeouts"]
    if automatic:
        features.append("auto_optimization")
    if any(runtime.device.startswith("cuda") for runtime in runtimes):
        features.append("gpu_acceleration")
    if parts.limits.clients_limited:
        features.append("rate_limiting")
    if _caching(parts) == "aggressive":
        features.append("result_caching")
    if parts.settings.require_authentication:
        features.append("authentication")
    if usable(speech_models(parts.models, "speech_synthesis")):
        features += ["tts_synthesis", "audio_streaming"]
    if usable(speech_models(parts.models, "speech_recognition")):
        features.append("speech_recognition")
    return features


def _performance(parts: InfoParts) -> PerformanceMetrics:
    figures = parts.system.figures
    return PerformanceMetrics(
        cache_hit_rate=parts.lookups.hit_rate,
        models_in_memory=sum(model.loaded for model in parts.models.values()),
        system_metrics=SystemMetrics(
            figures.cpu_percent, figures.memory_percent, figures.memory_available_gb
        ),
        gpu_metrics=GpuMetrics(
            figures.gpus.count > 0,
            figures.gpus.count,
            _gpu_memory_mb(parts),
            figures.gpus.utilization,
        ),
        tts_metrics=_tts_metrics(parts),
    )


def _gpu_memory_mb(parts: InfoParts) -> float | None:
    """Return the GPU memory of all workers: the driver's figure, else theirs; None if unknown."""
    told = parts.system.figures.gpus.memory_allocated_mb
    held = [mb for each in parts.room.residents() for mb in each.gpu_memory_mb.values()]
    return sum(held) if told is None and held else told


def _tts_backend(parts: InfoParts) -> Literal["pytorch", "huggingface_transformers"] | None:
    """Return which library the network of the default voice comes from."""
    default = parts.models.catalog.key_of(parts.settings.default_tts_model)
    for model in speech_models(parts.models, "speech_synthesis"):
        if model.key == default:
            return model.speech.backend
    return None


def _tts_metrics(parts: InfoParts) -> TtsMetrics:
    statistics = parts.speech_statistics
    models = speech_models(parts.models, "speech_synthesis")
    average = statistics.average
    return TtsMetrics(
        sum(model.loaded for model in models),
        None if average is None else round(average * 1000, 3),
        statistics.requests,
    )


def _tts_service(parts: InfoParts) -> TtsService:
    models = speech_models(parts.models, "speech_synthesis")
    speaking = usable(models)
    able = capabilities(parts.models, parts.speech_statistics)
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
