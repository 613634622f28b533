"""What ``handler_options`` may say of a voice model."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from handler_kit.options import Count, FileName, HandlerOptions

Factor = Annotated[float, Meta(ge=0.5, le=2.0)]


class VoiceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One voice: factors on the network's pitch, on its formants and on its loudness.

    A lower pitch has more harmonics, and so more energy: *volume* makes voices equally loud.
    *speaker* is which of the checkpoint's speakers it is: a number for a VITS, a name for SpeechT5
    or Bark. Left out, it is the speaker with the voice's own name.
    """

    description: str = ""
    speaker: str | None = None
    pitch: Factor = 1.0
    formants: Factor = 1.0
    volume: Factor = 1.0


class TextStageOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network in *folder* of the archive that rewrites a text, with at most *max_new_tokens*."""

    folder: FileName = "text"
    max_new_tokens: Count = 256
    beams: Annotated[int, Meta(ge=1, le=8)] = 1


class SynthesisOptions(HandlerOptions, frozen=True, kw_only=True):
    """The network, its voices (the first is the default), and how much is spoken at once."""

    network: Literal["auto", "hibari", "piper"] = "auto"
    """`auto`: what `model_type` in the checkpoint's `config.json` says; `hibari` and `piper` must
    be named."""
    voices: dict[str, VoiceOptions]
    """Name to `{pitch, formants, volume, speaker, description}`: factors on the network's own
    (`pitch` and `formants`: hibari only), and which of the checkpoint's speakers it is. The first
    voice is the default."""
    languages: tuple[str, ...] = ("en",)
    """Languages that the voices speak."""
    text_stage: TextStageOptions | None = None
    """`{folder, max_new_tokens, beams}`: a network that rewrites the text first; null: none."""
    pause_seconds: Annotated[float, Meta(ge=0, le=2)] = 0.0
    """Silence before every sentence but a text's first."""
    max_characters: Count = 5000
    """Most characters of a text; longer ones are refused."""
    max_piece_symbols: Annotated[int, Meta(ge=20)] = 400
    """Most phonemes in one breath; longer sentences are cut at clauses."""
    max_pass_symbols: Count = 1600
    """Most phonemes in one forward pass, padding included."""
    job_seconds: Annotated[float, Meta(gt=0)] | None = None
    """Seconds of speech made in one job. null: 48 with hibari, 5 with the networks that go step by
    step, else 15."""
    max_speech_seconds: Annotated[float, Meta(gt=0)] = 600.0
    """Longest text of a caller without the sidecar, in seconds of speech."""
    max_answer_bytes: Count = 60_000_000
    """Largest answer; speech is larger than other answers."""

    def __post_init__(self) -> None:
        if not self.voices or not self.languages:
            raise ValueError("voices and languages must each have at least one entry")
        moved = any((voice.pitch, voice.formants) != (1, 1) for voice in self.voices.values())
        if self.network != "hibari" and moved:
            raise ValueError("only voices of network hibari may change pitch or formants")
