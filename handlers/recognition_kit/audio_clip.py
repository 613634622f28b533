"""One input on its way to the network, and the settings that clips of one pass have in common."""

import msgspec

from handler_kit.wav import Samples
from recognition_kit.parameters import TranscriptionParameters

PROBE_SECONDS = 2.0  # how long clips are that check and warm a model
MAX_FALLBACK_TEMPERATURE = 1.0
FALLBACK_STEP = 0.2


class DecodingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How pieces are decoded; clips with equal settings share a decoding loop.

    *context_samples* is how much audio the network hears at once, with silence after a shorter
    clip.
    """

    prompt: tuple[int, ...]
    timestamps: bool
    suppress_blank: bool
    beam_size: int
    temperature: float
    max_tokens: int
    context_samples: int  # how much the network hears, silence included

    @property
    def temperatures(self) -> list[float]:
        """The temperatures to try, one after another, until a transcript is good."""
        tried = [self.temperature]
        while tried[-1] + FALLBACK_STEP <= MAX_FALLBACK_TEMPERATURE + 1e-9:
            tried.append(round(tried[-1] + FALLBACK_STEP, 6))
        return tried


class AudioClip(msgspec.Struct, frozen=True, kw_only=True):
    """Mono audio and what is asked of it; *probe*: it only checks or warms up the model."""

    samples: Samples
    parameters: TranscriptionParameters
    decoding: DecodingSettings
    probe: bool = False
