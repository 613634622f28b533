"""Which voice speaks and which model listens, by the names that people use."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from sidecar.catalog.catalog import Catalog
from sidecar.errors import InvalidInput, ModelNotFound, SpeechRefusal, UnknownVoice
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


def models_of(catalog: Catalog, task: SpeechTask) -> Iterator[tuple[str, ModelSpec]]:
    """Return the enabled models of *task*, in load order."""
    return ((key, spec) for key, spec in catalog.items() if spec.enabled and spec.task == task)


def find_speaker(catalog: Catalog, default: str, model: str | None, voice: str | None) -> Speaker:
    """Return the voice that is meant; a voice without a model picks the model that has it.

    Raises ModelNotFound, SpeechRefusal for a model that does not speak, UnknownVoice.
    """
    if (
        model is None
        and voice is not None
        and voice not in catalog[catalog.require(default)].voices
    ):
        model = _owner(catalog, voice)
    key, name = _key(catalog, "speech_synthesis", model, default)
    spec = catalog[key]
    voices = spec.voices
    voice = voice or voices[0]
    if voice not in voices:
        raise UnknownVoice(voice, voices)
    return Speaker(key, name, voice, spec, speech_of(spec))


def find_listener(catalog: Catalog, default: str, model: str | None) -> Listener:
    """Return the recogniser that is meant.  Raises ModelNotFound, SpeechRefusal."""
    key, name = _key(catalog, "speech_recognition", model, default)
    spec = catalog[key]
    return Listener(key, name, spec, speech_of(spec))


def find_voice_activity(catalog: Catalog) -> str:
    """Return the model that finds speech in audio.  Raises ModelNotFound."""
    for key, spec in catalog.items():
        if spec.enabled and spec.task == "voice_activity":
            return key
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


def _owner(catalog: Catalog, voice: str) -> str:
    """Return the first model that has *voice*."""
    voices: list[str] = []
    for key, spec in models_of(catalog, "speech_synthesis"):
        if voice in spec.voices:
            return key
        voices += spec.voices
    raise UnknownVoice(voice, voices)


def _key(catalog: Catalog, task: SpeechTask, model: str | None, default: str) -> tuple[str, str]:
    name = default if model is None else model
    key = catalog.require(name)
    if catalog[key].task != task:
        known = [key for key, _ in models_of(catalog, task)]
        raise SpeechRefusal(
            f"{name} is not a model for {_KINDS[task]}",
            field="model_name",
            error=f"Model '{name}' is not a {_KINDS[task]} model",
            extra={"available_models": known},
        )
    return key, name
