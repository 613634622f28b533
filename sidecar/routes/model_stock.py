"""GET /models/available, /models/managed, /models/cache/info: models elsewhere, and models here."""

import asyncio
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from sidecar.catalog.downloaded import DownloadedModels
from sidecar.catalog.model_store import archive_path
from sidecar.downloads.messages import PARTIAL
from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.models.states import MISSING, State
from sidecar.schemas.downloads import (
    AvailableCategories,
    AvailableModel,
    AvailableModels,
    CachedModel,
    CachedTts,
    CacheInfo,
    CacheOptimization,
    ManagedCategories,
    ManagedModel,
    ManagedModels,
    ManagedSummary,
    MemoryUsage,
    PartialDownload,
    Recommendations,
    TtsFeatures,
)
from sidecar.schemas.model_spec import ModelSpec
from sidecar.settings import MB, Settings
from sidecar.web.route import Route, json_response, shown_folder

SMALLEST = 3  # how many of the smallest models are recommended


@dataclass(frozen=True, slots=True)
class StockParts:
    """Which models there are, and where they lie."""

    models: ModelRegistry
    settings: Settings


PARTS = web.AppKey("model stock", StockParts)


async def available_models(request: web.Request) -> web.Response:
    """Answer with the models that can be downloaded, whether or not they have been."""
    registry = request.app[PARTS].models
    models = {
        key: _available(model)
        for key, model in registry.items()
        if model.enabled and model.spec.source != "builtin"
    }
    speaking = [key for key, model in models.items() if model.tts_features]
    wanted = [
        model
        for key, model in models.items()
        if registry[key].state is State.AVAILABLE and model.size_mb
    ]
    wanted.sort(key=lambda model: (model.size_mb or 0, model.name))
    return json_response(
        AvailableModels(
            models,
            len(models),
            AvailableCategories(speaking, [key for key in models if key not in speaking]),
            popular_tts_models=None,
            download_recommendations=Recommendations(
                beginners=None,
                advanced=None,
                fast_setup=[model.name for model in wanted[:SMALLEST]],
                highest_quality=None,
            ),
        )
    )


def _available(model: Model) -> AvailableModel:
    spec, speech = model.spec, model.spec.speech
    languages = list(speech.languages) if speech else []
    return AvailableModel(
        name=model.key,
        display_name=spec.display_name,
        source=spec.source,
        model_id=spec.model_id,
        task=spec.task,
        description=spec.description,
        license=spec.license,
        size_mb=spec.size_mb,
        state=model.state.shown,
        tags=[spec.task, *languages],
        tts_features=_tts_features(spec),
    )


def _tts_features(spec: ModelSpec) -> TtsFeatures | None:
    if spec.task != "speech_synthesis" or spec.speech is None:
        return None
    return TtsFeatures(
        supports_tts=True,
        supports_voice_cloning=spec.speech.clones_voices,
        supports_emotions="emotion" in spec.speech.controls,
        sample_rate=spec.speech.sample_rate,
        languages=list(spec.speech.languages),
        voices=list(spec.voices),
    )


async def managed_models(request: web.Request) -> web.Response:
    """Answer with the models that have an archive."""
    registry = request.app[PARTS].models
    models = [
        _managed(model)
        for model in registry.values()
        if model.enabled and model.state not in MISSING
    ]
    speaking = [model.name for model in models if model.is_tts]
    return json_response(
        ManagedModels(
            len(models),
            models,
            ManagedCategories(speaking, [each.name for each in models if not each.is_tts]),
            ManagedSummary(
                total_loaded=sum(model.loaded for model in models),
                tts_models_count=len(speaking),
                optimized_count=sum(bool(model.optimized) for model in models),
                total_parameters=None,
            ),
        )
    )


def _managed(model: Model) -> ManagedModel:
    runtime = model.runtime
    optimized = None
    if runtime is not None:
        optimized = runtime.compile or runtime.tensorrt or runtime.precision != "fp32"
    return ManagedModel(
        name=model.key,
        state=model.state.shown,
        loaded=model.loaded,
        device=runtime.device if runtime else None,
        is_tts=model.spec.task == "speech_synthesis",
        optimized=optimized,
        memory_usage=MemoryUsage(None, None),
        parameters=None,
    )


async def cache_info(request: web.Request) -> web.Response:
    """Answer with the disk space that models take."""
    return json_response(await asyncio.to_thread(_cache_info, request.app[PARTS]))


def _cache_info(parts: StockParts) -> CacheInfo:
    store = parts.settings.model_store
    base = DownloadedModels(parts.settings.state_dir).base
    models = [_cached(key, spec, store, base) for key, spec in parts.models.catalog.items()]
    models = [model for model in models if model.size_mb > 0]
    total = sum(model.size_mb for model in models)
    speaking = [model for model in models if model.is_tts]
    spoken = sum(model.size_mb for model in speaking)
    return CacheInfo(
        cache_directory=shown_folder(store),
        total_models=len(models),
        total_size_mb=round(total, 3),
        free_disk_mb=round(shutil.disk_usage(_nearest(store)).free / MB, 3),
        models=models,
        partial_downloads=_partial(parts.settings.state_dir / PARTIAL),
        tts_specific=CachedTts(
            len(speaking),
            [model.name for model in speaking],
            round(spoken, 3),
            round(100 * spoken / total, 2) if total else None,
        ),
        cache_optimization=CacheOptimization(None, optimization_enabled=False, auto_cleanup=False),
    )


def _cached(key: str, spec: ModelSpec, store: Path, base: Path) -> CachedModel:
    archive = archive_path(store, key)
    archived = archive.stat().st_size / MB if archive.is_file() else 0.0
    kept = _size_mb(base / key)
    return CachedModel(
        name=key,
        size_mb=round(archived + kept, 3),
        archive_mb=round(archived, 3),
        files_mb=round(kept, 3),
        is_tts=spec.task == "speech_synthesis",
    )


def _partial(base: Path) -> list[PartialDownload]:
    folders = sorted(path for path in base.glob("*") if path.is_dir())
    return [PartialDownload(path.name, round(_size_mb(path), 3)) for path in folders]


def _size_mb(folder: Path) -> float:
    """Return the size of all files in *folder*, except those that vanish meanwhile."""
    size = 0
    for parent, _, names in os.walk(folder):  # unlike rglob, this tolerates a folder that vanishes
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(parent, name).stat().st_size
    return size / MB


def _nearest(folder: Path) -> Path:
    """Return *folder*, or the nearest folder above it that exists."""
    path = folder.absolute()
    while not path.exists():
        path = path.parent
    return path


ROUTES = [
    Route(
        "GET",
        "/models/available",
        available_models,
        "Models from elsewhere",
        response=AvailableModels,
    ),
    Route(
        "GET", "/models/managed", managed_models, "Models with an archive", response=ManagedModels
    ),
    Route("GET", "/models/cache/info", cache_info, "What models take on disk", response=CacheInfo),
]
