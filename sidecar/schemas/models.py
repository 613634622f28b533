"""GET /models, and the changes of one model."""

from typing import Annotated

import msgspec
from msgspec import Meta

from sidecar.errors import FieldError
from sidecar.schemas.model_spec import ModelLimits

Version = Annotated[str, Meta(pattern=r"^\d+(\.\d+)*$", max_length=32)]
Reason = Annotated[str, Meta(max_length=200)]


class ModelSummary(msgspec.Struct):
    """One model of the catalog in a few words."""

    display_name: str
    task: str
    category: str
    enabled: bool
    tts_enabled: bool
    state: str


class SpecializedModels(msgspec.Struct):
    """Keys by what the models are for."""

    tts_models: list[str]
    stt_models: list[str]
    image_classification: list[str]
    text_classification: list[str]
    feature_extraction: list[str]


class SpeakingModelFacts(msgspec.Struct):
    """A voice, as GET /models shows it."""

    voices: list[str]
    languages: list[str]
    sample_rate: int


class ListeningModelFacts(msgspec.Struct):
    """A recogniser, as GET /models shows it."""

    languages: list[str]
    translates: bool
    word_timestamps: bool


class AudioModelsSummary(msgspec.Struct):
    """The speech models."""

    tts_detailed: dict[str, SpeakingModelFacts]
    stt_detailed: dict[str, ListeningModelFacts]
    loaded_audio_models: list[str]
    supported_tts_types: list[str]
    supported_stt_types: list[str]


class DeploymentInfo(msgspec.Struct):
    """Which models are loaded at the start, and which of them first."""

    auto_load_models: list[str]
    high_priority_models: list[str]


class Models(msgspec.Struct):
    """GET /models"""

    success: bool
    timestamp: str
    total_models: int
    available_models: list[str]
    models_info: dict[str, ModelSummary]
    model_groups: dict[str, list[str]]
    specialized_models: SpecializedModels
    audio_models: AudioModelsSummary
    deployment_info: DeploymentInfo


class WorkerFacts(msgspec.Struct):
    """One READY worker.  *memory_mb*: resident, in 2^20 bytes; null until it was measured."""

    id: str
    memory_mb: float | None


class ModelDetails(msgspec.Struct):
    """GET /models/{name}.  *idle_seconds*: since it was asked; null while it is not loaded.

    *gpu_memory_mb*: what all its workers hold, by GPU.
    """

    success: bool
    name: str
    display_name: str
    description: str
    task: str
    handler: str
    source: str
    model_id: str | None
    revision: str | None
    license: str | None
    state: str
    version: str
    loaded_versions: list[str]
    error: str | None
    device: str | None
    precision: str | None
    workers: list[WorkerFacts]
    gpu_memory_mb: dict[str, float]
    min_workers: int
    max_workers: int
    queued: int
    in_flight: int
    idle_seconds: float | None
    sleeps_after_seconds: float | None
    pinned: bool
    cache: bool
    limits: ModelLimits | None


class AddRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /models/{name}/add: the entry that models.json has under this name now."""

    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None


class LoadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /models/{name}/load: the model, or another version beside the one that is there."""

    version: Version | None = None
    default: Annotated[
        bool, Meta(description="Make it the default: requests go to this version")
    ] = False
    reason: Reason = "asked by an operator"
    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None

    def __post_init__(self) -> None:
        if self.default and self.version is None:
            raise FieldError("default", "needs a version")


class UnloadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /models/{name}/unload: the model, or one version that is not the default."""

    version: Version | None = None
    reason: Reason = "asked by an operator"
    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None


class DefaultRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /models/{name}/default: requests go to this version from now on."""

    version: Version
    reason: Reason = "asked by an operator"
    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None


class ScaleModelRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /models/{name}/scale: 0 puts it to sleep."""

    workers: Annotated[int, Meta(ge=0, le=64)]
    reason: Reason = "asked by an operator"
    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None
