"""One input to transcribe, and the settings shared by the clips of one pass."""

import msgspec

from handler_kit.wav import Samples
from recognition_kit.parameters import TranscriptionParameters

PROBE_SECONDS = 2.0  # the length of the clips that check and warm up a model
MAX_FALLBACK_TEMPERATURE = 1.0
FALLBACK_STEP = 0.2


class DecodingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How pieces are decoded.  Clips with equal settings share a decoding loop.

    *context_samples* is the length of the network's input; shorter clips are padded with silence.
    """

    prompt: tuple[int, ...]
    timestamps: bool
    suppress_blank: bool
    beam_size: int
    temperature: float
    max_tokens: int
    context_samples: int  # of the network's input, including padding

    @property
    def temperatures(self) -> list[float]:
        """The temperatures to try in turn until a transcript is good."""
        tried = [self.temperature]
        while tried[-1] + FALLBACK_STEP <= MAX_FALLBACK_TEMPERATURE + 1e-9:
            tried.append(round(tried[-1] + FALLBACK_STEP, 6))
        return tried


class AudioClip(msgspec.Struct, frozen=True, kw_only=True):
    """Mono audio and its parameters.  A *probe* only checks or warms up the model."""

    samples: Samples
    parameters: TranscriptionParameters
    decoding: DecodingSettings
    probe: bool = False
