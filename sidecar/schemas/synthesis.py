"""POST /synthesize: two forms of request and answer, which differ only in their names."""

from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from sidecar.errors import FieldError
from sidecar.schemas.priority import Priority
from sidecar.settings import MB

MAX_TEXT = 5000
MAX_REFERENCE = 2_000_000  # base64 of 46 s at 16 kHz; it travels with each sentence
MAX_REQUEST_BYTES = 4 * MB  # of a body: a text, and a voice to clone

MAX_PRONUNCIATIONS = 100

InputType = Literal["text", "ssml"]
CaptionFormat = Literal["srt", "vtt"]
OutputFormat = Literal["wav", "mp3", "flac", "ogg", "opus", "aac", "pcm"]
Emotion = Literal["neutral", "happy", "sad", "angry", "excited", "calm"]
EMOTIONS: tuple[Emotion, ...] = get_args(Emotion)
Quality = Literal["low", "medium", "high"]

Text = Annotated[
    str,
    Meta(
        min_length=1,
        description=f"At most {MAX_TEXT} characters",
        extra_json_schema={"maxLength": MAX_TEXT},  # a longer one gets an error of its own
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=256, description="Key, hub id or alias")]
Warnings = Annotated[list[str], Meta(description="What was left out of the audio; usually empty")]
Word = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^\W_](?:[\w .'’-]*[^\W_])?$")]
Ipa = Annotated[str, Meta(min_length=1, max_length=100)]
Factor = Annotated[float, Meta(ge=0.5, le=2.0)]


class SynthesisParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a text is to be spoken.  *speed*, *pitch* and *volume* are factors."""

    voice: Annotated[str | None, Meta(description="null: the model's first")] = None
    speed: Annotated[Factor, Meta(description="2.0 takes half the time")] = 1.0
    pitch: Annotated[Factor, Meta(description="2.0 is an octave higher")] = 1.0
    volume: Annotated[float, Meta(ge=0.1, le=2.0, description="2.0 is 6 dB louder")] = 1.0
    language: Annotated[str | None, Meta(description="null: the model's first")] = None
    emotion: Emotion | None = None
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="The same seed, the same audio")] = 0
    normalize_text: Annotated[bool, Meta(description="Numbers, dates, addresses as words")] = True
    input_type: Annotated[
        InputType, Meta(description="ssml: the text is a <speak> document; docs/speech.md")
    ] = "text"
    pronunciations: Annotated[
        dict[Word, Ipa],
        Meta(
            max_length=MAX_PRONUNCIATIONS,
            description='How words are said, in IPA: {"GIF": "dʒɪf"}; for voices with phonemes',
        ),
    ] = {}
    timestamps: Annotated[
        Literal["word"] | None,
        Meta(description="word: when each word is spoken; a stream is then one of events"),
    ] = None
    output_format: Annotated[
        OutputFormat | None, Meta(description="null: what Accept names, else wav")
    ] = None
    speaker_embedding: (
        Annotated[
            list[float],
            Meta(max_length=4096, description="A voice as numbers, for models that clone voices"),
        ]
        | None
    ) = None
    reference_audio: (
        Annotated[
            str,
            Meta(
                max_length=MAX_REFERENCE,
                description="A voice to clone: a 16-bit WAV file in base64, 1 s or more",
            ),
        ]
        | None
    ) = None
    quality: Annotated[Quality, Meta(description="Bit rate of the formats that lose something")] = (
        "high"
    )


class SynthesisRequest(SynthesisParameters, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A text to speak: `text` and `model`, or `inputs` and `model_name`; the answer follows suit.

    With neither model nor voice the default voice speaks; a voice alone picks the model that
    has it.
    """

    text: Text | None = None
    model: Name | None = None
    inputs: Text | None = None
    model_name: Name | None = None
    enable_streaming: Annotated[
        bool, Meta(description="Audio as it is made, the first second first")
    ] = False
    format: Annotated[
        CaptionFormat | None, Meta(description="Captions beside the audio, from the words' times")
    ] = None
    token: Annotated[str | None, Meta(description="Takes precedence over the headers")] = None
    priority: Priority = 0
    timeout: Annotated[
        float, Meta(gt=0, description="Seconds from arrival; streamed: for each part")
    ] = 60.0

    def __post_init__(self) -> None:
        if (self.text is None) == (self.inputs is None):
            raise FieldError("text", "give either text or inputs")
        if self.model is not None and self.model_name is not None:
            raise FieldError("model", "give either model or model_name")

    @property
    def field_names(self) -> dict[str, str]:
        """The client's names for the fields that errors call `text` and `model_name`."""
        return {
            "text": self.text_field,
            "model_name": "model" if self.model_name is None else "model_name",
        }

    @property
    def text_field(self) -> str:
        """The field that holds the text."""
        return "inputs" if self.text is None else "text"

    @property
    def words(self) -> str:
        """The text to speak."""
        return self.text if self.text is not None else self.inputs or ""

    @property
    def wanted_model(self) -> str | None:
        """The model's name, if there is one."""
        return self.model or self.model_name


class SpokenWord(msgspec.Struct, frozen=True):
    """A word as it is said; seconds from the beginning of the audio."""

    word: str
    start: float
    end: float


class SpokenBy(msgspec.Struct):
    """The model of the first form's answer."""

    name: str
    type: Literal["tts"]
    description: str


class AudioFacts(msgspec.Struct):
    """The file: *bitrate* in bits per second, *encoding* the codec's name."""

    bitrate: int
    encoding: str
    size_bytes: int


class ProcessingFacts(msgspec.Struct):
    """Seconds inside the jobs that the request shared, and in our encoder."""

    gpu_used: bool
    inference_time: float
    preprocessing_time: float
    postprocessing_time: float


class SynthesisMetadata(msgspec.Struct):
    """What made the audio, and what it is."""

    model_info: SpokenBy
    audio_info: AudioFacts
    processing_info: ProcessingFacts


class SynthesisResponse(msgspec.Struct):
    """The answer to `text`.  *audio_data* is base64, *duration* in seconds."""

    success: bool
    timestamp: str
    audio_data: str
    format: OutputFormat
    duration: float
    sample_rate: int
    channels: int
    model_used: str
    voice_used: str
    generation_time: float
    text_length: int
    metadata: SynthesisMetadata
    warnings: Warnings
    words: list[SpokenWord] | msgspec.UnsetType = msgspec.UNSET
    captions: str | msgspec.UnsetType = msgspec.UNSET


class VoiceInfo(msgspec.Struct):
    """The model of the second form's answer."""

    model_name: str
    voice: str
    language: str
    actual_model: str


class InputsSynthesisResponse(msgspec.Struct):
    """The answer to `inputs`."""

    success: bool
    audio_data: str
    audio_format: OutputFormat
    duration: float
    sample_rate: int
    processing_time: float
    model_info: VoiceInfo
    warnings: Warnings
    error: str | None = None
    words: list[SpokenWord] | msgspec.UnsetType = msgspec.UNSET
    captions: str | msgspec.UnsetType = msgspec.UNSET


class SpeechPrediction(msgspec.Struct):
    """What /predict answers for a text and a voice."""

    audio_data: str
    format: OutputFormat
    sample_rate: int
    duration: float
    warnings: Warnings
    words: list[SpokenWord] | msgspec.UnsetType = msgspec.UNSET


class SpokenPart(msgspec.Struct):
    """The event `audio` of a stream with timestamps.

    It has the next bytes of the file, in base64, and the words of their sentence.
    """

    audio_data: str
    words: list[SpokenWord]


class SpokenWhole(msgspec.Struct):
    """The event `done`, which ends such a stream.  *duration* in seconds."""

    success: bool
    format: OutputFormat
    sample_rate: int
    duration: float
    warnings: Warnings
    captions: str | msgspec.UnsetType = msgspec.UNSET


class SpeechInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object as /predict's input."""

    text: Text
    parameters: dict[str, Any] = {}
