"""The audio files that are written, by the names that clients use."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from sidecar.schemas.synthesis import OutputFormat, Quality

_NONE: Mapping[str, str] = MappingProxyType({})


class FileFormat(NamedTuple):
    """How FFmpeg writes one kind of file.

    *bit_rates* in bits per second, empty for codecs that lose nothing.  *sample_rates* are those
    that the codec takes, ascending; empty: it takes any.
    """

    mime_type: str
    codec: str
    encoder: str
    container: str
    bit_rates: Mapping[Quality, int] = MappingProxyType({})
    sample_rates: tuple[int, ...] = ()
    frame_seconds: float | None = None  # of a codec that leaves the choice to us
    codec_options: Mapping[str, str] = _NONE
    stream_options: Mapping[str, str] = _NONE  # for a container that nobody can seek in

    def encoded_rate(self, sample_rate: int) -> int:
        """Return the rate of the file: the input's, or the next one above that the codec takes."""
        above = (rate for rate in self.sample_rates if rate >= sample_rate)
        return next(above, self.sample_rates[-1] if self.sample_rates else sample_rate)


_WAV = FileFormat("audio/wav", "pcm_s16le", "pcm_s16le", "wav")

_MP3 = FileFormat(
    "audio/mpeg",
    "mp3",
    "libmp3lame",
    "mp3",
    {"low": 32_000, "medium": 64_000, "high": 128_000},
    (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    codec_options={"reservoir": "0"},  # it would hold frames back
    stream_options={"write_xing": "0", "id3v2_version": "0"},  # nobody could fill in its durations
)

_FLAC = FileFormat("audio/flac", "flac", "flac", "flac", frame_seconds=0.04)

# A decoder of Opus always plays at 48 kHz.  Pages of 1 s, the default, would be 2 s late.
_OPUS = FileFormat(
    "audio/ogg",
    "opus",
    "libopus",
    "ogg",
    {"low": 16_000, "medium": 32_000, "high": 64_000},
    (48000,),
    stream_options={"page_duration": "40000"},
)

_AAC = FileFormat(
    "audio/aac",
    "aac",
    "aac",
    "adts",
    {"low": 32_000, "medium": 64_000, "high": 96_000},
    (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    codec_options={"aac_coder": "fast"},  # FFmpeg's default is slower, and loses more
)

# audio/L16 would be big-endian.
_PCM = FileFormat("audio/pcm", "pcm_s16le", "pcm_s16le", "s16le")

FORMATS: Mapping[OutputFormat, FileFormat] = MappingProxyType(
    {
        "wav": _WAV,
        "mp3": _MP3,
        "flac": _FLAC,
        "ogg": _OPUS,
        "opus": _OPUS._replace(mime_type="audio/ogg; codecs=opus"),
        "aac": _AAC,
        "pcm": _PCM,
    }
)


def media_types(names: Iterable[OutputFormat]) -> tuple[str, ...]:
    """Return the media types of the formats *names*, sorted, each once and without parameters."""
    return tuple(sorted({FORMATS[name].mime_type.partition(";")[0] for name in names}))
