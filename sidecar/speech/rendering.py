"""PCM as a file that people can play."""

import time
from typing import NamedTuple

from sidecar.schemas.synthesis import OutputFormat, Quality
from sidecar.speech.audio_encoder import encode
from sidecar.speech.output_formats import FORMATS
from sidecar.speech.service import Speech
from sidecar.speech.synthesis import Spoken


class Rendered(NamedTuple):
    """A whole file; *seconds* is how long it plays, *encode_seconds* what it took to make."""

    data: bytes
    format: OutputFormat
    sample_rate: int
    seconds: float
    encode_seconds: float

    @property
    def bit_rate(self) -> int:
        """Bits per second, headers included."""
        return round(8 * len(self.data) / self.seconds) if self.seconds else 0


async def render(speech: Speech, spoken: Spoken, name: OutputFormat, quality: Quality) -> Rendered:
    """*spoken* in the format *name*."""
    started = time.perf_counter()
    file_format = FORMATS[name]
    data = await speech.in_thread(encode, spoken.pcm, file_format, spoken.sample_rate, quality)
    return Rendered(
        data,
        name,
        file_format.encoded_rate(spoken.sample_rate),
        spoken.seconds,
        time.perf_counter() - started,
    )
