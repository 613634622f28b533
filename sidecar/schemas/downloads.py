"""/models/download and what belongs to it: requests and answers."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.schemas.model_spec import Count, Inference, Requirements, Source, Speech

AskedSource = Literal[Source, "tts_auto"]  # "tts_auto": a voice of models.json, wherever it is
State = Literal["pending", "downloading", "converting", "completed", "failed", "cancelled"]


class ModelChanges(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Fields of models.json that a client may set for a model that is not in it."""

    display_name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    license: str | UnsetType = UNSET
    aliases: tuple[str, ...] | UnsetType = UNSET
    speech: Speech | UnsetType = UNSET
    auto_load: bool | UnsetType = UNSET
    load_priority: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    requirements: Requirements | UnsetType = UNSET
    inference: Inference | UnsetType = UNSET
    precision: Literal["auto", "fp32", "fp16", "bf16", "int8"] | UnsetType = UNSET
    compile: Literal["auto", "off", "on"] | UnsetType = UNSET
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] | UnsetType = UNSET


class DownloadRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model from elsewhere.

    *model_id* is a hub id, an address, a folder below the local models, or a model of the
    catalog, as *source* says; *name* is what it will be called here.
    """

    source: AskedSource
    model_id: Annotated[str, Meta(min_length=1, max_length=2048)]
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    task: Annotated[str, Meta(max_length=64)] | None = None
    revision: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    auto_convert_tts: bool = False
    include_vocoder: bool = False
    vocoder_model: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    custom_settings: Annotated[dict[str, Any], Meta(description="Handler options")] = {}
    config: ModelChanges = ModelChanges()
    force: Annotated[bool, Meta(description="Download it even if it is here already")] = False
    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None


class DownloadInfo(msgspec.Struct):
    """What is known of the model before it is downloaded."""

    download_id: str | None
    model_type: str | None
    description: str | None
    estimated_size_mb: float | None
    supports_voice_cloning: bool | None
    vocoder_included: bool
    vocoder_models: list[str]


class DownloadAccepted(msgspec.Struct):
    """POST /models/download.  *estimated_time* is in seconds."""

    success: bool
    download_id: str | None
    message: str
    model_name: str
    source: str
    model_id: str
    status: Literal[State, "already_exists"]
    estimated_time: float | None
    download_info: DownloadInfo
    error: str | None


class DownloadStatus(msgspec.Struct):
    """One download.  *progress* is 0–1 of its bytes, *eta* seconds."""

    download_id: str
    model_name: str
    source: str
    model_id: str
    status: State
    progress: float
    bytes_done: int
    bytes_total: int | None
    eta: float | None
    message: str
    error: str | None
    created_at: float
    finished_at: float | None


class Downloads(msgspec.Struct):
    """GET /models/downloads: the newest first."""

    downloads: list[DownloadStatus]
    total: int
    active: int


class TtsFeatures(msgspec.Struct):
    """What a voice can do."""

    supports_tts: bool
    supports_voice_cloning: bool
    supports_emotions: bool
    sample_rate: Count
    languages: list[str]
    voices: list[str]


class AvailableModel(msgspec.Struct):
    """One model that can be downloaded, or was."""

    name: str
    display_name: str
    source: str
    model_id: str | None
    task: str
    description: str
    license: str | None
    size_mb: float | None
    state: str
    tags: list[str]
    tts_features: TtsFeatures | None


class AvailableCategories(msgspec.Struct):
    """The same models, by what they are for."""

    tts_models: list[str]
    general_models: list[str]


class Recommendations(msgspec.Struct):
    """*fast_setup*: the smallest that are not here yet; of the rest nothing was measured."""

    beginners: list[str] | None
    advanced: list[str] | None
    fast_setup: list[str]
    highest_quality: list[str] | None


class AvailableModels(msgspec.Struct):
    """GET /models/available"""

    available_models: dict[str, AvailableModel]
    total_available: int
    categories: AvailableCategories
    popular_tts_models: list[str] | None
    download_recommendations: Recommendations


class MemoryUsage(msgspec.Struct):
    """The memory of one model; null, because it is measured per machine only."""

    allocated_mb: float | None
    reserved_mb: float | None


class ManagedModel(msgspec.Struct):
    """One model that has an archive.  *optimized*: compiled, or of a lowered precision."""

    name: str
    state: str
    loaded: bool
    device: str | None
    is_tts: bool
    optimized: bool | None
    memory_usage: MemoryUsage
    parameters: int | None


class ManagedCategories(msgspec.Struct):
    """The same models, by what they are for."""

    tts_models: list[str]
    other_models: list[str]


class ManagedSummary(msgspec.Struct):
    """Counts."""

    total_loaded: int
    tts_models_count: int
    optimized_count: int
    total_parameters: int | None


class ManagedModels(msgspec.Struct):
    """GET /models/managed"""

    total_models: int
    downloaded_models: list[ManagedModel]
    categories: ManagedCategories
    summary: ManagedSummary


class CachedModel(msgspec.Struct):
    """The disk space of one model: its archive, and the files that it is built from."""

    name: str
    size_mb: float
    archive_mb: float
    files_mb: float
    is_tts: bool


class PartialDownload(msgspec.Struct):
    """The part of a download that has arrived; it is active, waiting, or given up."""

    name: str
    size_mb: float


class CachedTts(msgspec.Struct):
    """The voices' part of it."""

    tts_models_count: int
    tts_models: list[str]
    tts_total_size_mb: float
    tts_percentage: float | None


class CacheOptimization(msgspec.Struct):
    """Nothing is removed automatically, and files have no hit rate."""

    cache_hit_rate: float | None
    optimization_enabled: bool
    auto_cleanup: bool


class CacheInfo(msgspec.Struct):
    """GET /models/cache/info"""

    cache_directory: str
    total_models: int
    total_size_mb: float
    free_disk_mb: float
    models: list[CachedModel]
    partial_downloads: list[PartialDownload]
    tts_specific: CachedTts
    cache_optimization: CacheOptimization


class DownloadedInfo(msgspec.Struct):
    """GET /models/download/{name}/info.  What was downloaded is null before it is."""

    name: str
    display_name: str
    description: str
    source: str
    model_id: str | None
    task: str
    handler: str
    license: str | None
    state: str
    downloaded: bool
    revision: str | None
    sha256: str | None
    size_mb: float | None
    downloaded_at: str | None
    vocoder: str | None
    download_id: str | None


class Removed(msgspec.Struct):
    """DELETE /models/download/{name}"""

    success: bool
    message: str
    model_name: str


class RemoveQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of DELETE /models/download/{name}."""

    force: Annotated[bool, Meta(description="Remove even a loaded model of models.json")] = False
