"""/models and /models/{name}: reading is open, changes need the scope `admin`."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from sidecar.archives.archive import BuildError
from sidecar.archives.build_process import build_archive
from sidecar.catalog.entries import CatalogError
from sidecar.catalog.model_store import archive_mark, archive_path
from sidecar.errors import EntryRefused
from sidecar.models.autoscaler import Autoscaler
from sidecar.models.catalog_watch import CatalogWatch
from sidecar.models.model import Model
from sidecar.models.operator_changes import OperatorChanges
from sidecar.models.registry import ModelRegistry
from sidecar.models.versions import ModelVersions
from sidecar.routes.speech_models import SpeechModel, speech_models
from sidecar.schemas.model_spec import ModelSpec
from sidecar.schemas.models import (
    AddRequest,
    AudioModelsSummary,
    DefaultRequest,
    DeploymentInfo,
    ListeningModelFacts,
    LoadRequest,
    ModelDetails,
    Models,
    ModelSummary,
    ScaleModelRequest,
    SpeakingModelFacts,
    SpecializedModels,
    UnloadRequest,
    WorkerFacts,
)
from sidecar.settings import Settings
from sidecar.torchserve.failures import EngineGone, EngineRefused
from sidecar.web.admission import ADMISSION
from sidecar.web.body import read_change
from sidecar.web.page import page
from sidecar.web.route import Route, json_response, now

HIGH_PRIORITY = 10  # load_priority up to this
CATEGORIES = {
    "tensor": "demo",
    "image_classification": "computer-vision",
    "speech_synthesis": "audio",
    "speech_recognition": "audio",
    "voice_activity": "audio",
    "own": "custom",
}
OTHERS = "nlp"
_add = msgspec.json.Decoder(AddRequest)
_load = msgspec.json.Decoder(LoadRequest)
_unload = msgspec.json.Decoder(UnloadRequest)
_default = msgspec.json.Decoder(DefaultRequest)
_scale = msgspec.json.Decoder(ScaleModelRequest)


@dataclass(frozen=True, slots=True)
class ModelParts:
    """The parts that know the models, and change them."""

    settings: Settings
    models: ModelRegistry
    versions: ModelVersions
    autoscaler: Autoscaler
    catalog_watch: CatalogWatch
    operator_changes: OperatorChanges


PARTS = web.AppKey("models", ModelParts)


@page(PARTS)
async def models(parts: ModelParts) -> Models:
    """Answer with every model of the catalog, and its state."""
    specs = dict(parts.models.catalog)
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for key, spec in specs.items():
        groups[_category(spec)].append(key)
    return Models(
        success=True,
        timestamp=now(),
        total_models=len(specs),
        available_models=[key for key, spec in specs.items() if spec.enabled],
        models_info={key: _summary(parts.models[key], spec) for key, spec in specs.items()},
        model_groups=dict(groups),
        specialized_models=_specialized(specs),
        audio_models=_audio(parts.models),
        deployment_info=DeploymentInfo(
            parts.models.catalog.auto_load(),
            [key for key, spec in specs.items() if spec.load_priority <= HIGH_PRIORITY],
        ),
    )


def _category(spec: ModelSpec) -> str:
    return CATEGORIES.get(spec.task, OTHERS)


def _summary(model: Model, spec: ModelSpec) -> ModelSummary:
    return ModelSummary(
        spec.display_name,
        spec.task,
        _category(spec),
        spec.enabled,
        spec.task == "speech_synthesis",
        model.state.shown,
    )


def _specialized(specs: dict[str, ModelSpec]) -> SpecializedModels:
    def keys(task: str) -> list[str]:
        return [key for key, spec in specs.items() if spec.task == task]

    return SpecializedModels(
        tts_models=keys("speech_synthesis"),
        stt_models=keys("speech_recognition"),
        image_classification=keys("image_classification"),
        text_classification=keys("text_classification"),
        feature_extraction=keys("embedding"),
    )


def _audio(registry: ModelRegistry) -> AudioModelsSummary:
    speaking = speech_models(registry, "speech_synthesis")
    listening = speech_models(registry, "speech_recognition")
    return AudioModelsSummary(
        tts_detailed={model.key: _speaking(model) for model in speaking},
        stt_detailed={model.key: _listening(model) for model in listening},
        loaded_audio_models=[model.key for model in (*speaking, *listening) if model.loaded],
        supported_tts_types=_handlers(speaking),
        supported_stt_types=_handlers(listening),
    )


def _speaking(model: SpeechModel) -> SpeakingModelFacts:
    speech = model.speech
    return SpeakingModelFacts(list(model.spec.voices), list(speech.languages), speech.sample_rate)


def _listening(model: SpeechModel) -> ListeningModelFacts:
    speech = model.speech
    return ListeningModelFacts(list(speech.languages), speech.translates, speech.word_timestamps)


def _handlers(found: list[SpeechModel]) -> list[str]:
    return sorted({model.spec.handler for model in found})


async def model(request: web.Request) -> web.Response:
    """Answer with one model: what it is, and its state."""
    parts = request.app[PARTS]
    return json_response(await _details(parts, _asked(request)))


async def add_model(request: web.Request) -> web.Response:
    """Take over the current entry of models.json, and build its archive unless that is up to date.

    The entry itself cannot be sent: it may name code that the server runs, so it comes from the
    operator's own disk.
    """
    await read_change(request[ADMISSION], _add)
    parts = request.app[PARTS]
    try:
        key, spec = await parts.catalog_watch.entry(request.match_info["name"])
        rebuilt = False
        if spec.enabled and not spec.is_downloaded:
            rebuilt = await _build(parts, key, spec)
        found = await parts.catalog_watch.take(key, spec, rebuilt=rebuilt)
    except (CatalogError, BuildError) as exc:
        raise EntryRefused(str(exc)) from exc
    return json_response(await _details(parts, found))


async def _build(parts: ModelParts, key: str, spec: ModelSpec) -> bool:
    """Build the archive of *key* unless it is current; return whether that changed it."""
    if spec.is_own:  # its archive is made elsewhere
        return False
    path = archive_path(parts.settings.model_store, key)
    before = await asyncio.to_thread(archive_mark, path)
    await build_archive(parts.settings, key)
    return await asyncio.to_thread(archive_mark, path) != before


async def load_model(request: web.Request) -> web.Response:
    """Load or wake a model, or add a version; answer when it is READY."""
    asked = await read_change(request[ADMISSION], _load)
    parts, found = request.app[PARTS], _asked(request)
    changes, reason = parts.operator_changes, asked.reason
    if asked.version is None:
        await changes.load(found, reason)
    else:
        await changes.add_version(found, asked.version, reason)
        if asked.default:
            await changes.make_default(found, asked.version, reason)
    return json_response(await _details(parts, found))


async def unload_model(request: web.Request) -> web.Response:
    """Take a model, or one version of it, out of memory."""
    asked = await read_change(request[ADMISSION], _unload)
    parts, found = request.app[PARTS], _asked(request)
    changes, reason = parts.operator_changes, asked.reason
    if asked.version is None:
        await changes.unload(found, reason)
    else:
        await changes.remove_version(found, asked.version)
    return json_response(await _details(parts, found))


async def set_default_version(request: web.Request) -> web.Response:
    """Make a loaded version the default: a newer one, or an older one again."""
    asked = await read_change(request[ADMISSION], _default)
    parts, found = request.app[PARTS], _asked(request)
    changes, reason = parts.operator_changes, asked.reason
    await changes.make_default(found, asked.version, reason)
    return json_response(await _details(parts, found))


async def scale_model(request: web.Request) -> web.Response:
    """Set the number of workers; 0 puts the model to sleep."""
    asked = await read_change(request[ADMISSION], _scale)
    parts, found = request.app[PARTS], _asked(request)
    changes, reason = parts.operator_changes, asked.reason
    if asked.workers:
        await changes.scale(found, asked.workers, reason)
    else:
        await changes.put_to_sleep(found, reason)
    return json_response(await _details(parts, found))


def _asked(request: web.Request) -> Model:
    return request.app[PARTS].models.require(request.match_info["name"])


async def _details(parts: ModelParts, found: Model) -> ModelDetails:
    spec, runtime, workers = found.spec, found.runtime, found.spec.inference.workers
    return ModelDetails(
        success=True,
        name=found.key,
        display_name=spec.display_name,
        description=spec.description,
        task=spec.task,
        handler=spec.handler,
        source=spec.source,
        model_id=spec.model_id,
        revision=spec.revision,
        license=spec.license,
        state=found.state.shown,
        version=found.version or spec.version,
        loaded_versions=await _versions(parts, found),
        error=found.error,
        device=runtime.device if runtime else None,
        precision=runtime.precision if runtime else None,
        workers=[
            WorkerFacts(each.id, _rounded(found.worker_memory_mb(each))) for each in found.workers
        ],
        gpu_memory_mb={
            str(gpu): round(held, 1) for gpu, held in found.held_gpu_mb.items() if found.workers
        },
        min_workers=workers.min,
        max_workers=workers.max,
        **_activity(parts, found),
        sleeps_after_seconds=None if spec.pinned else spec.idle_seconds,
        pinned=spec.pinned,
        cache=spec.cache,
        limits=spec.limits,
    )


def _rounded(megabytes: float | None) -> float | None:
    return None if megabytes is None else round(megabytes, 1)


def _activity(parts: ModelParts, found: Model) -> dict[str, Any]:
    if not found.enabled:
        return {"queued": 0, "in_flight": 0, "idle_seconds": None}
    dispatcher = found.dispatcher
    return {
        "queued": len(dispatcher.queue),
        "in_flight": dispatcher.in_flight,
        "idle_seconds": parts.autoscaler.idle_seconds(found),
    }


async def _versions(parts: ModelParts, found: Model) -> list[str]:
    """Return the versions that TorchServe lists or, while it is away, the one that answers."""
    if not found.wanted:
        return []
    known = [found.version] if found.version else []
    try:
        return await parts.versions.loaded(found.key) or known
    except (EngineGone, EngineRefused):
        return known


CHANGES = (400, 401, 404, 413, 422, 503)
ROUTES = [
    Route(
        "GET",
        "/models",
        models,
        "Every model and its state",
        response=Models,
        page=True,
    ),
    Route("GET", "/models/{name}", model, "One model", response=ModelDetails, statuses=(404,)),
    Route(
        "POST",
        "/models/{name}/add",
        add_model,
        "Take over an entry of models.json",
        request=AddRequest,
        response=ModelDetails,
        statuses=(*CHANGES, 409),
        example={},
        credential="admin",
    ),
    Route(
        "POST",
        "/models/{name}/load",
        load_model,
        "Load a model, or another version",
        request=LoadRequest,
        response=ModelDetails,
        statuses=CHANGES,
        example={"reason": "for the afternoon"},
        credential="admin",
    ),
    Route(
        "POST",
        "/models/{name}/default",
        set_default_version,
        "Choose the version to use",
        request=DefaultRequest,
        response=ModelDetails,
        statuses=CHANGES,
        example={"version": "1.0"},
        credential="admin",
    ),
    Route(
        "POST",
        "/models/{name}/scale",
        scale_model,
        "Scale a model; 0 puts it to sleep",
        request=ScaleModelRequest,
        response=ModelDetails,
        statuses=CHANGES,
        example={"workers": 1},
        credential="admin",
    ),
    Route(
        "POST",
        "/models/{name}/unload",
        unload_model,
        "Unload a model, or one version",
        request=UnloadRequest,
        response=ModelDetails,
        statuses=CHANGES,
        example={"reason": "its memory is needed"},
        credential="admin",
    ),
]
