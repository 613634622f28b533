"""Finds models and voices by OpenAI's names, with the defaults from the settings."""

from dataclasses import dataclass

from aiohttp import web

from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.openai.names import model_of, voice_of
from sidecar.settings import Settings


@dataclass(frozen=True, slots=True)
class OpenAINames:
    """Finds the model or the voice that a name stands for."""

    settings: Settings
    models: ModelRegistry

    def model(self, name: str) -> str:
        """Return the name of the model *name* in the catalog."""
        defaults = {
            "speech_synthesis": self.settings.default_tts_model,
            "speech_recognition": self.settings.default_asr_model,
        }
        return model_of(self.models.catalog, name, defaults)

    def require(self, name: str) -> Model:
        """Return the model *name*.  Raises ModelNotFound."""
        return self.models.require(self.model(name), called=name)

    def voice(self, model: str, voice: str | None) -> str | None:
        """Return the voice of *model* that *voice* stands for; an unknown name is kept."""
        found = self.models.find(model)
        if voice is None or found is None or not found.spec.voices:
            return voice
        return voice_of(voice, tuple(found.spec.voices))


NAMES = web.AppKey("openai_names", OpenAINames)
