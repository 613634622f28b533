"""What can speak and listen here, and its state."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sidecar.schemas.inline_audio import InlineAudio, no_audio

Status = Literal["healthy", "unhealthy", "disabled"]


class AudioSystem(msgspec.Struct):
    """Both directions at a glance."""

    status: Status
    tts_available: bool
    stt_available: bool
    models_loaded: int


class AudioModel(msgspec.Struct):
    """One model's state; *device* is null until it is loaded."""

    name: str
    status: str
    loaded: bool
    device: str | None


class SupportedFormats(msgspec.Struct):
    """Audio files that are read, and that are written."""

    input: list[str]
    output: list[str]


class AudioLimits(msgspec.Struct):
    """*max_audio_length* in seconds; GPU memory in mb, null without a GPU."""

    audio_processing: str
    gpu_memory_available: float | None
    max_audio_length: float


class AudioHealth(msgspec.Struct):
    """GET /audio/health"""

    status: Status
    timestamp: str
    audio_system: AudioSystem
    tts_models: list[AudioModel]
    stt_models: list[AudioModel]
    supported_formats: SupportedFormats
    system_info: AudioLimits
    audio_available: bool
    tts_available: bool
    stt_available: bool
    dependencies: dict[str, str]
    errors: list[str]


class TtsSystem(msgspec.Struct):
    """Synthesis at a glance."""

    status: Status
    available_models: list[str]
    default_model: str
    total_voices: int


class TtsModel(msgspec.Struct):
    """One synthesis model.  *average_generation_time* in seconds."""

    name: str
    status: str
    loaded: bool
    device: str | None
    supports_voice_cloning: bool
    supported_languages: list[str]
    max_text_length: int
    average_generation_time: float | None


class TtsPerformance(msgspec.Struct):
    """Since start; times in seconds, *error_rate* 0-1, null before the first request."""

    requests_per_minute: float | None
    average_response_time: float | None
    error_rate: float | None
    uptime: float


class SpeechCapabilities(msgspec.Struct):
    """What the voices that can speak now can do; *real_time* is null before any synthesis."""

    text_to_speech: bool
    voice_cloning: bool
    emotion_synthesis: bool
    streaming: bool
    real_time: bool | None


class TtsHealth(msgspec.Struct):
    """GET /tts/health"""

    status: Status
    timestamp: str
    tts_system: TtsSystem
    models: list[TtsModel]
    voice_options: dict[str, list[str]]
    performance: TtsPerformance
    available_voices: list[str]
    supported_languages: list[str]
    optimizations_enabled: bool
    loaded_tts_models: list[str]
    capabilities: SpeechCapabilities


class Voice(msgspec.Struct):
    """One voice of a model."""

    name: str
    description: str


class SpeakingModel(msgspec.Struct):
    """One synthesis model of the catalog; *optional* ones are built when asked for.

    *verified*: it was run with its real weights where this was made.
    """

    name: str
    display_name: str
    description: str
    state: str
    license: str | None
    optional: bool
    verified: bool
    voices: list[Voice]
    languages: list[str]
    emotions: list[str]
    controls: list[str]
    sample_rate: int
    max_text_length: int


class ListeningModel(msgspec.Struct):
    """One recognition model of the catalog; see `SpeakingModel`."""

    name: str
    display_name: str
    description: str
    state: str
    license: str | None
    optional: bool
    verified: bool
    languages: list[str]
    tasks: list[str]
    word_timestamps: bool
    sample_rate: int
    max_audio_length: float


class AudioModels(msgspec.Struct):
    """GET /audio/models"""

    success: bool
    timestamp: str
    default_tts_model: str
    default_stt_model: str
    tts_models: list[SpeakingModel]
    stt_models: list[ListeningModel]


class ValidationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /audio/validate in JSON; or the part `file` of a multipart body with the other fields.

    There is no `file_path`: this server opens no file for a client.
    """

    inputs: InlineAudio = msgspec.field(default_factory=no_audio)
    validate_format: Annotated[bool, Meta(description="Is it a format that we read?")] = True
    check_integrity: Annotated[bool, Meta(description="Decode all of it")] = False
    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None
    timeout: Annotated[float, Meta(gt=0, description="Seconds from arrival")] = 60.0


class ValidationResponse(msgspec.Struct):
    """What the file is.  *file_path* is the name the client gave it.

    *duration* in seconds: decoded with check_integrity, else what the file says; then
    *estimated* is true.  *error* says why it is not valid, *warnings* what of it is not heard.
    """

    valid: bool
    file_path: str | None
    size_bytes: int
    format: str | None
    format_valid: bool | None
    duration: float | None
    sample_rate: int | None
    estimated: bool
    warnings: list[str]
    error: str | None = None
