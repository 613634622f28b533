"""POST /v1/audio/speech and GET /v1/audio/voices."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sidecar.schemas.openai.requests import ModelId, OpenAIRequest
from sidecar.schemas.synthesis import Text

SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
Speed = Annotated[float, Meta(ge=0.25, le=4.0)]
VoiceName = Annotated[str, Meta(min_length=1, max_length=256)]


class CustomVoice(msgspec.Struct, frozen=True):
    """A voice in an object, as some of OpenAI's clients name it."""

    id: VoiceName


class SpeechRequest(OpenAIRequest, frozen=True, kw_only=True):
    """A text to speak."""

    input: Text
    model: ModelId
    voice: Annotated[
        VoiceName | CustomVoice | None,
        Meta(description="One of OpenAI's or the model's voices; null: the model's first"),
    ] = None
    response_format: Annotated[SpeechFormat | None, Meta(description="null: mp3")] = None
    speed: Annotated[Speed | None, Meta(description="2.0 takes half the time; null: 1.0")] = None
    instructions: Annotated[
        Annotated[str, Meta(max_length=4096)] | None,
        Meta(description="How to speak; if this names one emotion, the voice speaks with it"),
    ] = None
    stream_format: Annotated[
        Literal["audio", "sse"] | None,
        Meta(description="sse: server-sent events; audio or null: the file, sent as it is made"),
    ] = None

    @property
    def voice_name(self) -> str | None:
        """The name of the voice, as a text."""
        return self.voice.id if isinstance(self.voice, CustomVoice) else self.voice


class SpeechAudioDelta(msgspec.Struct, tag="speech.audio.delta"):
    """The next bytes of the file, in base64."""

    audio: str


class SpeechAudioDone(msgspec.Struct, tag="speech.audio.done"):
    """The end of the audio.  The numbers of tokens are 0: voices here do not use tokens."""

    usage: None = None


class ListedVoice(msgspec.Struct):
    """One voice of one model.  *id* is its name for /v1/audio/speech."""

    id: str
    object: Literal["audio.voice"]
    name: str
    model: str
    description: str


class VoiceListing(msgspec.Struct):
    """The voices that can speak now, and what OpenAI's names stand for with the default model."""

    object: Literal["list"]
    data: list[ListedVoice]
    aliases: dict[str, str]
