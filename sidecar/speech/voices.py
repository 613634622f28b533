"""Which voice speaks and which model listens, by the names that people use."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from sidecar.errors import InvalidInput, ModelNotFound, SpeechRefusal, UnknownVoice
from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.schemas.model_spec import CLONING, ModelSpec, Speech
from sidecar.schemas.synthesis import SynthesisParameters
from sidecar.validation import nearest

SpeechTask = Literal["speech_synthesis", "speech_recognition"]
_KINDS = {"speech_synthesis": "speech synthesis", "speech_recognition": "speech recognition"}


class Speaker(NamedTuple):
    """One voice of one model."""

    key: str
    name: str  # of the model, as the client said it
    voice: str
    spec: ModelSpec
    speech: Speech  # what the model can do


class Listener(NamedTuple):
    """One recogniser."""

    key: str
    name: str  # as the client said it
    spec: ModelSpec
    speech: Speech  # what the model can do


def speech_of(spec: ModelSpec) -> Speech:
    """Return the spec's speech facts, which every model of a speech task has."""
    assert spec.speech is not None
    return spec.speech


def models_of(models: ModelRegistry, task: SpeechTask) -> Iterator[Model]:
    """Return the enabled models of *task*, in load order."""
    return (model for model in models.enabled if model.spec.task == task)


def find_speaker(
    models: ModelRegistry, default: str, model: str | None, voice: str | None
) -> Speaker:
    """Return the voice that is meant; a voice without a model picks the model that has it.

    Raises ModelNotFound, SpeechRefusal for a model that does not speak, UnknownVoice.
    """
    if model is None and voice is not None and voice not in models.require(default).spec.voices:
        model = _owner(models, voice)
    found, name = _find(models, "speech_synthesis", model, default)
    spec = found.spec
    voices = spec.voices
    voice = voice or voices[0]
    if voice not in voices:
        raise UnknownVoice(voice, voices)
    return Speaker(found.key, name, voice, spec, speech_of(spec))


def find_listener(models: ModelRegistry, default: str, model: str | None) -> Listener:
    """Return the recogniser that is meant.  Raises ModelNotFound, SpeechRefusal."""
    found, name = _find(models, "speech_recognition", model, default)
    return Listener(found.key, name, found.spec, speech_of(found.spec))


def find_voice_activity(models: ModelRegistry) -> str:
    """Return the model that finds speech in audio.  Raises ModelNotFound."""
    for model in models.enabled:
        if model.spec.task == "voice_activity":
            return model.key
    raise ModelNotFound("voice_activity", "no enabled model has this task")


def check_language(speech: Speech, language: str | None, field: str = "language") -> None:
    """Raise InvalidInput if the model does not know *language*."""
    if language is not None and language not in speech.languages:
        known = ", ".join(speech.languages)
        raise InvalidInput(
            f"expected one of: {known}{nearest(language, speech.languages)}",
            field=field,
            extra={"supported_languages": list(speech.languages)},
        )


def check_cloning(speaker: Speaker, parameters: SynthesisParameters) -> None:
    """Raise InvalidInput for a voice to clone that the model does not take."""
    for name in CLONING:
        if getattr(parameters, name) is not None and name not in speaker.speech.controls:
            raise InvalidInput(
                f"{speaker.name} does not support it; /audio/models lists the voices that do",
                field=name,
            )


def _owner(models: ModelRegistry, voice: str) -> str:
    """Return the first model that has *voice*."""
    voices: list[str] = []
    for model in models_of(models, "speech_synthesis"):
        if voice in model.spec.voices:
            return model.key
        voices += model.spec.voices
    raise UnknownVoice(voice, voices)


def _find(
    models: ModelRegistry, task: SpeechTask, model: str | None, default: str
) -> tuple[Model, str]:
    """Return the model, and the name by which it was asked for."""
    name = default if model is None else model
    found = models.require(name)
    if found.spec.task != task:
        known = [each.key for each in models_of(models, task)]
        raise SpeechRefusal(
            f"{name} is not a model for {_KINDS[task]}",
            field="model_name",
            error=f"Model '{name}' is not a {_KINDS[task]} model",
            extra={"available_models": known},
        )
    return found, name
