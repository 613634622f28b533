"""Whatever the bytes are: audio, or a refusal."""

import io
from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import AudioTooLong, CorruptAudio, UnsupportedAudio
from sidecar.speech.audio_decoder import AudioDecoder, probe
from tests.sidecar.speech.audio_files import FRAGMENTS, speech_like, write

HEADS = (
    b"RIFF\xff\xff\xff\xffWAVEfmt ",
    b"fLaC",
    b"OggS",
    b"ID3\4\0\0\0\0\0\0",
    b"\xff\xfb\x90\0",
    b"\xff\xf1\x58\x40",
    b"\x1a\x45\xdf\xa3\x9f\x42\x86",
    b"\0\0\0\x1cftypM4A ",
    b"",
)
KINDS = {
    "wav": ("wav", "pcm_s16le", {}),
    "mp3": ("mp3", "libmp3lame", {}),
    "opus": ("ogg", "libopus", {}),
    "vorbis": ("ogg", "vorbis", {}),
    "flac": ("flac", "flac", {}),
    "aac": ("adts", "aac", {}),
    "m4a": ("ipod", "aac", {}),
    "alac": ("ipod", "alac", {}),
    "fragments": ("mp4", "aac", FRAGMENTS),
    "webm": ("webm", "libopus", {"live": "1"}),
}


@cache
def original(kind: str) -> bytes:
    container, codec, options = KINDS[kind]
    return write(container, codec, speech_like(0.5, 48000), 48000, layout="stereo", options=options)


def decode(data: bytes, *, strict: bool) -> None:
    """Audio or a refusal; never longer than the limit."""
    with suppress(UnsupportedAudio, CorruptAudio, AudioTooLong):
        probe(io.BytesIO(data), field="file")
        with AudioDecoder(
            io.BytesIO(data), field="file", max_seconds=60, block_seconds=5, strict=strict
        ) as decoder:
            assert sum(map(len, decoder)) <= 61 * 32000


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=2000), st.booleans())
def test_random_bytes_are_decoded_or_refused(head: bytes, data: bytes, strict: bool) -> None:
    decode(head + data, strict=strict)


# In most formats all that matters stands at one of the two ends.
places = st.one_of(st.floats(0, 0.05), st.floats(0.9, 1), st.floats(0, 1))
mutations = st.lists(st.tuples(places, st.binary(min_size=1, max_size=6)), max_size=8)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(changes=mutations, end=st.one_of(st.just(1.0), st.floats(0, 1)), strict=st.booleans())
def test_mutated_audio_files_are_decoded_or_refused(
    kind: str, changes: list[tuple[float, bytes]], end: float, *, strict: bool
) -> None:
    data = bytearray(original(kind))
    for place, new in changes:
        at = int(place * len(data))
        data[at : at + len(new)] = new
    decode(bytes(data[: int(end * len(data))]), strict=strict)
