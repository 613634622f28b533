"""What the header Accept says of audio."""

from typing import NamedTuple

from sidecar.schemas.synthesis import OutputFormat
from sidecar.speech.output_formats import FORMATS

DEFAULT_FORMAT: OutputFormat = "wav"


class WantedAudio(NamedTuple):
    """*raw*: the file itself, rather than JSON that holds it."""

    format: OutputFormat
    raw: bool


def wanted_audio(accept: str, output_format: OutputFormat | None) -> WantedAudio:
    """Return what the field *output_format* says, else *accept*, which is in small letters.

    The header may name one of our types, or any audio at all.
    """
    ranges = [part.partition(";")[0].strip() for part in accept.split(",")]
    audio = [each for each in ranges if each.startswith("audio/")]
    named = (
        name
        for each in audio
        for name, file_format in FORMATS.items()
        if file_format.mime_type == each
    )
    chosen: OutputFormat = next(named, DEFAULT_FORMAT)
    return WantedAudio(output_format or chosen, raw=bool(audio))
