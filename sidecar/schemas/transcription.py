"""POST /transcribe: two forms of request and answer."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sidecar.errors import FieldError
from sidecar.schemas.inline_audio import InlineAudio, no_audio
from sidecar.schemas.languages import language_code
from sidecar.schemas.priority import Priority

ResponseFormat = Literal["json", "text", "srt", "vtt"]
AUTO = "auto"
Name = Annotated[str, Meta(min_length=1, max_length=256, description="Key, hub id or alias")]


class TranscriptionParameters(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """How speech is to be transcribed."""

    language: Annotated[
        str | None, Meta(description="Code or English name; null or auto: it is detected")
    ] = None
    task: Literal["transcribe", "translate"] = "transcribe"
    temperature: Annotated[float, Meta(ge=0, le=1)] = 0.0
    beam_size: Annotated[int, Meta(ge=1, le=10, description="1 is greedy, and fastest")] = 1
    initial_prompt: Annotated[str, Meta(max_length=1000)] | None = None
    suppress_blank: bool = True
    enable_timestamps: bool = True
    word_timestamps: bool = False
    no_speech_threshold: Annotated[float, Meta(ge=0, le=1)] | None = 0.6
    logprob_threshold: Annotated[float, Meta(le=0)] | None = -1.0

    @property
    def known_language(self) -> str | None:
        """The language's code; None where it is to be detected."""
        code = language_code(self.language or AUTO)
        return None if code == AUTO else code


class TranscriptionRequest(
    TranscriptionParameters, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Speech to transcribe, in the second form: *inputs* holds the audio file.

    The first form is the same fields in a multipart body, with the file in the part `file`.
    """

    inputs: InlineAudio = msgspec.field(default_factory=no_audio)
    model: Name | None = None
    model_name: Name | None = None
    response_format: ResponseFormat = "json"
    stream: Annotated[
        bool, Meta(description="Segments as they are ready, as server-sent events")
    ] = False
    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None
    priority: Priority = 0
    timeout: Annotated[
        float, Meta(gt=0, description="Seconds from arrival; streamed: for each segment")
    ] = 300.0

    def __post_init__(self) -> None:
        if self.model is not None and self.model_name is not None:
            raise FieldError("model", "give either model or model_name")
        if self.stream and self.response_format != "json":
            raise FieldError("stream", "requires response_format json")

    @property
    def field_names(self) -> dict[str, str]:
        """The client's name for the field that errors call `model_name`."""
        return {"model_name": "model" if self.model_name is None else "model_name"}

    @property
    def wanted_model(self) -> str | None:
        """The model's name, if there is one."""
        return self.model or self.model_name


class Word(msgspec.Struct):
    """One word; times in seconds."""

    word: str
    start: float
    end: float
    probability: float | None = None


class Segment(msgspec.Struct, omit_defaults=True):
    """One stretch of speech; times in seconds from the file's start, the rest 0-1."""

    start: float
    end: float
    text: str
    confidence: float
    no_speech_prob: float | None
    words: list[Word] | msgspec.UnsetType = msgspec.UNSET


class InputAudio(msgspec.Struct):
    """The file that was sent; *duration* in seconds, as decoded."""

    sample_rate: int
    channels: int
    format: str
    duration: float
    size_bytes: int


class Recogniser(msgspec.Struct):
    """The model that listened."""

    name: str
    type: Literal["stt"]
    parameters: dict[str, Any]


class TranscriptionMetadata(msgspec.Struct):
    """What was heard, and by which model."""

    audio_info: InputAudio
    model_info: Recogniser


class TranscriptionResponse(msgspec.Struct):
    """The answer to a multipart body.  *language_probability* is null where none was detected.

    *warnings* are sentences about what was empty, cut off, damaged or left out.
    """

    success: bool
    timestamp: str
    transcription: str
    segments: list[Segment]
    language: str | None
    language_probability: float | None
    duration: float
    model_used: str
    processing_time: float
    metadata: TranscriptionMetadata
    warnings: list[str]


class RecogniserInfo(msgspec.Struct):
    """The model of the second form's answer."""

    model_name: str
    actual_model: str
    task: Literal["transcribe", "translate"]


class InputsTranscriptionResponse(msgspec.Struct):
    """The answer to `inputs`.  *confidence* is the mean over the segments, by their length.

    *warnings* are those of `TranscriptionResponse`.
    """

    success: bool
    text: str
    segments: list[Segment]
    language: str | None
    confidence: float | None
    processing_time: float
    model_info: RecogniserInfo
    warnings: list[str]


class RecognitionPrediction(msgspec.Struct):
    """What /predict answers for audio and a recogniser."""

    text: str
    segments: list[Segment]
    language: str | None
    warnings: list[str]


class SpeechTimes(msgspec.Struct):
    """Where somebody speaks, in seconds."""

    start: float
    end: float


class VoiceActivityPrediction(msgspec.Struct):
    """What /predict answers for audio and a voice activity model."""

    segments: list[SpeechTimes]


class RecognitionInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object as /predict's input.  *audio* stays the bytes that the client sent."""

    audio: msgspec.Raw
    parameters: dict[str, Any] = {}
