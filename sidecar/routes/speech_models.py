"""Which models speak and listen, and their states, for every route that reports on speech."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.models.states import State
from sidecar.schemas.audio import SpeechCapabilities, Status
from sidecar.schemas.model_spec import ModelSpec, Speech
from sidecar.speech.voices import SpeechTask, models_of, speech_of
from sidecar.telemetry.statistics import SpeechStatistics


class SpeechModel(NamedTuple):
    """One enabled model of a speech task."""

    model: Model

    @property
    def key(self) -> str:
        """Its name in the catalog."""
        return self.model.key

    @property
    def spec(self) -> ModelSpec:
        """Its entry in the catalog."""
        return self.model.spec

    @property
    def state(self) -> str:
        """Its state, as clients see it."""
        return self.model.state.shown

    @property
    def speech(self) -> Speech:
        """What it can do."""
        return speech_of(self.spec)

    @property
    def loaded(self) -> bool:
        """Whether a worker of it is READY."""
        return self.model.loaded

    @property
    def usable(self) -> bool:
        """Whether it answers; one that is only in the model store is loaded by a request."""
        return self.model.answers or self.model.state is State.ARCHIVED

    @property
    def device(self) -> str | None:
        """Where it runs, once it is loaded."""
        return self.model.runtime.device if self.model.runtime else None


def speech_models(models: ModelRegistry, task: SpeechTask) -> list[SpeechModel]:
    """Return the enabled models of *task*, in load order."""
    return [SpeechModel(model) for model in models_of(models, task)]


def usable(models: Iterable[SpeechModel]) -> list[SpeechModel]:
    """Return those that can answer now, or after they are woken."""
    return [model for model in models if model.usable]


def voices_of(models: Iterable[SpeechModel]) -> list[str]:
    """Return their voices, each name once."""
    return _once(voice for model in models for voice in model.spec.voices)


def languages_of(models: Iterable[SpeechModel]) -> list[str]:
    """Return their languages, each once."""
    return _once(language for model in models for language in model.speech.languages)


def capabilities(models: ModelRegistry, statistics: SpeechStatistics) -> SpeechCapabilities:
    """Return what the voices that can speak now can do."""
    speaking = usable(speech_models(models, "speech_synthesis"))
    return SpeechCapabilities(
        text_to_speech=bool(speaking),
        voice_cloning=any(model.speech.clones_voices for model in speaking),
        emotion_synthesis=any("emotion" in model.speech.controls for model in speaking),
        streaming=bool(speaking),
        real_time=_real_time(statistics),
    )


def status_of(models: list[SpeechModel]) -> Status:
    """Return the state of the models present: healthy if each is ready, or can be woken."""
    there = [model for model in models if model.model.state is not State.AVAILABLE]
    if not there:
        return "disabled"
    return "healthy" if len(usable(there)) == len(there) else "unhealthy"


def _real_time(statistics: SpeechStatistics) -> bool | None:
    """Whether synthesis was faster than its audio; None before any."""
    factor = statistics.real_time_factor
    return None if factor is None else factor < 1


def _once(names: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(names))
