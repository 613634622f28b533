"""PCM as a file that people can play."""

import time
from typing import NamedTuple

from sidecar.caching.answer_cache import OVERHEAD_BYTES
from sidecar.scheduling.entry import Reply
from sidecar.schemas.synthesis import OutputFormat, Quality, SpokenWord
from sidecar.speech.audio_encoder import BYTES_PER_SAMPLE, FileEncoder
from sidecar.speech.fair_threads import InThread
from sidecar.speech.output_formats import FORMATS
from sidecar.speech.synthesis import LeftOut, SynthesizedSpeech

TURN_SECONDS = 15  # of audio, encoded in one turn


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


async def render(
    in_thread: InThread, speech: SynthesizedSpeech, name: OutputFormat, quality: Quality
) -> Rendered:
    """Return *speech* in the format *name*, a few seconds of it at a time."""
    started = time.perf_counter()
    file_format = FORMATS[name]
    turn = TURN_SECONDS * speech.sample_rate * BYTES_PER_SAMPLE
    with FileEncoder(file_format, speech.sample_rate, quality) as encoder:
        for start in range(0, len(speech.pcm), turn):
            await in_thread(encoder.write, speech.pcm[start : start + turn])
        data: bytes = await in_thread(encoder.finish)
    return Rendered(
        data,
        name,
        file_format.encoded_rate(speech.sample_rate),
        speech.seconds,
        time.perf_counter() - started,
    )


class SpeechFile(NamedTuple):
    """A text as a whole file.

    *replies* are what spoke it, without their audio; *speaking_seconds* is how long that took.
    """

    rendered: Rendered
    replies: list[Reply]
    left_out: LeftOut
    words: list[SpokenWord]
    speaking_seconds: float

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.rendered.data) + OVERHEAD_BYTES * (1 + len(self.replies))
