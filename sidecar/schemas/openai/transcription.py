"""POST /v1/audio/transcriptions and /v1/audio/translations: forms with the audio in `file`."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sidecar.errors import FieldError
from sidecar.schemas.openai.requests import ModelId, OpenAIRequest

Granularity = Literal["word", "segment"]


class TranslationForm(OpenAIRequest, frozen=True, kw_only=True):
    """A recording in any language, to be translated into English text."""

    model: ModelId
    prompt: Annotated[
        str, Meta(description="Text that may precede the audio; only its end is used")
    ] = ""
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"
    temperature: Annotated[float, Meta(ge=0, le=1)] = 0.0
    timeout: Annotated[
        float, Meta(gt=0, description="Seconds from arrival; if streamed, for each segment")
    ] = 300.0


class TranscriptionForm(TranslationForm, frozen=True, kw_only=True):
    """A recording to be transcribed in its own language."""

    language: Annotated[
        str | None, Meta(description="Language code or English name; detected if omitted")
    ] = None
    timestamp_granularities: Annotated[
        list[Granularity], Meta(description="For verbose_json: segment, word or both")
    ] = msgspec.field(name="timestamp_granularities[]", default_factory=list)
    stream: Annotated[
        bool, Meta(description="Send the text as it is recognised, as server-sent events")
    ] = False

    def __post_init__(self) -> None:
        if self.timestamp_granularities and self.response_format != "verbose_json":
            raise FieldError("timestamp_granularities", "requires response_format verbose_json")
        if self.stream and self.response_format not in ("json", "text"):
            raise FieldError("stream", "requires response_format json or text")


class AudioUsage(msgspec.Struct):
    """The length of the recording."""

    type: Literal["duration"]
    seconds: float


class TranscribedText(msgspec.Struct):
    """The answer in json."""

    text: str
    usage: AudioUsage


class VerboseWord(msgspec.Struct):
    """One word; times in seconds."""

    word: str
    start: float
    end: float


class VerboseSegment(msgspec.Struct):
    """One stretch of speech; times in seconds.

    *seek* is its beginning in hundredths of a second.  *tokens* is always empty: recognisers differ
    in their tokens.
    """

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float | None


class VerboseTranscript(msgspec.Struct, omit_defaults=True):
    """The answer in verbose_json.  *language* is an English name, *duration* in seconds."""

    task: Literal["transcribe", "translate"]
    language: str | None
    duration: float
    text: str
    usage: AudioUsage
    segments: list[VerboseSegment] | msgspec.UnsetType = msgspec.UNSET
    words: list[VerboseWord] | msgspec.UnsetType = msgspec.UNSET


class TranscriptDelta(msgspec.Struct, tag="transcript.text.delta"):
    """The next part of the text."""

    delta: str


class TranscriptDone(msgspec.Struct, tag="transcript.text.done"):
    """The whole text.  This event ends the stream."""

    text: str
    usage: AudioUsage
