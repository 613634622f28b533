"""The ``handler_options`` of the handlers for speech recognition and voice activity."""

from typing import Annotated, Literal

from msgspec import Meta

from handler_kit.options import Count, FileName, HandlerOptions


class RecognitionOptions(HandlerOptions, frozen=True, kw_only=True):
    """How speech is recognised.

    *max_seconds* bounds one input.  *max_pass_clips* bounds how many pieces of up to 30 s go
    through the network at once, since the decoder keeps memory for each.  *languages* are those of
    a checkpoint that does not name them itself (Wav2Vec2, Moonshine).  *windows* concerns Whisper:
    it processes every piece in a window of 30 s, as in its training, or, on a CPU, in a window
    fitted to the piece; if the result of that is not good, again in a whole window.
    """

    max_seconds: Annotated[float, Meta(gt=0, le=7200)] = 300.0
    max_pass_clips: Count = 8
    windows: Literal["whole", "fitted"] = "whole"
    languages: tuple[str, ...] = ("en",)


class VoiceActivityOptions(HandlerOptions, frozen=True, kw_only=True):
    """The file of the weights in the archive, and the longest input."""

    weights: FileName = "silero_vad_16k.safetensors"
    max_seconds: Annotated[float, Meta(gt=0, le=86400)] = 3600.0
