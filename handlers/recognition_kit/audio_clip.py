"""One input on its way to the network, and what decides which others it can go with."""

import msgspec

from handler_kit.wav import Samples
from recognition_kit.parameters import TranscriptionParameters

PROBE_SECONDS = 2.0  # how long clips are that check and warm a model
MAX_FALLBACK_TEMPERATURE = 1.0
FALLBACK_STEP = 0.2


class DecodingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the pieces of one decoding loop have in common."""

    prompt: tuple[int, ...]
    timestamps: bool
    suppress_blank: bool
    beam_size: int
    temperature: float
    max_tokens: int
    context_samples: int  # how much the network hears, silence included

    @property
    def temperatures(self) -> list[float]:
        """Those to try, one after another, until a transcript is good."""
        tried = [self.temperature]
        while tried[-1] + FALLBACK_STEP <= MAX_FALLBACK_TEMPERATURE + 1e-9:
            tried.append(round(tried[-1] + FALLBACK_STEP, 6))
        return tried


class AudioClip(msgspec.Struct, frozen=True, kw_only=True):
    """Mono audio and what is asked of it.  *probe*: it checks or warms the model."""

    samples: Samples
    parameters: TranscriptionParameters
    decoding: DecodingSettings
    probe: bool = False
