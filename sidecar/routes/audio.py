"""GET /audio/health, /tts/health and /audio/models: the speech models and their state."""

import time
from dataclasses import dataclass
from importlib.metadata import version

from aiohttp import web

from sidecar.models.registry import ModelRegistry
from sidecar.routes.speech_models import (
    SpeechModel,
    capabilities,
    languages_of,
    speech_models,
    status_of,
    usable,
    voices_of,
)
from sidecar.schemas.audio import (
    AudioHealth,
    AudioLimits,
    AudioModel,
    AudioModels,
    AudioSystem,
    ListeningModel,
    SpeakingModel,
    SupportedFormats,
    TtsHealth,
    TtsModel,
    TtsPerformance,
    TtsSystem,
    Voice,
)
from sidecar.schemas.synthesis import EMOTIONS, MAX_TEXT
from sidecar.settings import Settings
from sidecar.speech.audio_decoder import INPUT_FORMATS
from sidecar.speech.output_formats import FORMATS
from sidecar.telemetry.statistics import SpeechStatistics
from sidecar.telemetry.system import SystemSampler
from sidecar.web.route import Route, json_response, now

LIBRARIES = {name: version(name) for name in ("av", "sentencex")}  # looked up once: on disk


@dataclass(frozen=True, slots=True)
class AudioParts:
    """The parts that know about speech."""

    settings: Settings
    models: ModelRegistry
    speech_statistics: SpeechStatistics
    system: SystemSampler


PARTS = web.AppKey("audio", AudioParts)


async def audio_health(request: web.Request) -> web.Response:
    """Answer with the state of synthesis and recognition, always with status 200."""
    parts = request.app[PARTS]
    speaking = speech_models(parts.models, "speech_synthesis")
    listening = speech_models(parts.models, "speech_recognition")
    can_speak, can_listen = bool(usable(speaking)), bool(usable(listening))
    both = [*speaking, *listening]
    status = status_of(both)
    return json_response(
        AudioHealth(
            status=status,
            timestamp=now(),
            audio_system=AudioSystem(
                status, can_speak, can_listen, sum(model.loaded for model in both)
            ),
            tts_models=[_state(model) for model in speaking],
            stt_models=[_state(model) for model in listening],
            supported_formats=SupportedFormats(list(INPUT_FORMATS), list(FORMATS)),
            system_info=AudioLimits(
                f"PyAV {LIBRARIES['av']}",
                parts.system.figures.gpus.memory_available_mb,
                parts.settings.max_audio_seconds,
            ),
            audio_available=can_speak or can_listen,
            tts_available=can_speak,
            stt_available=can_listen,
            dependencies=LIBRARIES,
            errors=[f"{m.key}: {m.model.error}" for m in both if m.model.error],
        )
    )


async def tts_health(request: web.Request) -> web.Response:
    """Answer with the state of synthesis, always with status 200."""
    parts = request.app[PARTS]
    models = speech_models(parts.models, "speech_synthesis")
    speaking = usable(models)
    return json_response(
        TtsHealth(
            status=status_of(models),
            timestamp=now(),
            tts_system=TtsSystem(
                status_of(models),
                [model.key for model in speaking],
                parts.settings.default_tts_model,
                len(voices_of(speaking)),
            ),
            models=[_tts_model(model, parts.speech_statistics) for model in models],
            voice_options={model.key: list(model.spec.voices) for model in speaking},
            performance=_performance(parts.speech_statistics),
            available_voices=voices_of(speaking),
            supported_languages=languages_of(speaking),
            optimizations_enabled=any(_is_optimized(model) for model in models),
            loaded_tts_models=[model.key for model in models if model.loaded],
            capabilities=capabilities(parts.models, parts.speech_statistics),
        )
    )


async def audio_models(request: web.Request) -> web.Response:
    """Answer with the speech models of the catalog, those without an archive included."""
    parts = request.app[PARTS]
    return json_response(
        AudioModels(
            True,
            now(),
            parts.settings.default_tts_model,
            parts.settings.default_asr_model,
            [_speaking(model) for model in speech_models(parts.models, "speech_synthesis")],
            [
                _listening(model, parts.settings)
                for model in speech_models(parts.models, "speech_recognition")
            ],
        )
    )


def _state(model: SpeechModel) -> AudioModel:
    return AudioModel(model.key, model.state, model.loaded, model.device)


def _tts_model(model: SpeechModel, statistics: SpeechStatistics) -> TtsModel:
    return TtsModel(
        name=model.key,
        status=model.state,
        loaded=model.loaded,
        device=model.device,
        supports_voice_cloning=model.speech.clones_voices,
        supported_languages=list(model.speech.languages),
        max_text_length=MAX_TEXT,
        average_generation_time=statistics.average_of(model.key),
    )


def _performance(statistics: SpeechStatistics) -> TtsPerformance:
    uptime = time.monotonic() - statistics.started
    return TtsPerformance(
        requests_per_minute=statistics.requests / max(uptime / 60, 1),
        average_response_time=statistics.average,
        error_rate=statistics.error_rate,
        uptime=round(uptime, 3),
    )


def _is_optimized(model: SpeechModel) -> bool:
    runtime = model.model.runtime
    return runtime is not None and (
        runtime.compile or runtime.tensorrt or runtime.precision != "fp32"
    )


def _speaking(model: SpeechModel) -> SpeakingModel:
    spec, speech = model.spec, model.speech
    descriptions = spec.handler_options["voices"]
    return SpeakingModel(
        name=model.key,
        display_name=spec.display_name,
        description=spec.description,
        state=model.state,
        license=spec.license,
        optional=spec.optional,
        verified=spec.verified,
        voices=[Voice(name, descriptions[name].get("description", "")) for name in spec.voices],
        languages=list(speech.languages),
        emotions=list(EMOTIONS) if "emotion" in speech.controls else ["neutral"],
        controls=list(speech.controls),
        sample_rate=speech.sample_rate,
        max_text_length=MAX_TEXT,
    )


def _listening(model: SpeechModel, settings: Settings) -> ListeningModel:
    spec, speech = model.spec, model.speech
    return ListeningModel(
        name=model.key,
        display_name=spec.display_name,
        description=spec.description,
        state=model.state,
        license=spec.license,
        optional=spec.optional,
        verified=spec.verified,
        languages=list(speech.languages),
        tasks=["transcribe", "translate"] if speech.translates else ["transcribe"],
        word_timestamps=speech.word_timestamps,
        sample_rate=speech.sample_rate,
        max_audio_length=settings.max_audio_seconds,
    )


ROUTES = [
    Route("GET", "/audio/health", audio_health, "Speech in both directions", AudioHealth),
    Route("GET", "/tts/health", tts_health, "Speech synthesis", TtsHealth),
    Route("GET", "/audio/models", audio_models, "Voices and recognisers", AudioModels),
]
