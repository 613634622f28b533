"""What is encoded can be decoded again, whole and streamed, and leaves in time."""

import io
import threading
from typing import Any, get_args

import av
import numpy as np
import pytest

from sidecar.schemas.synthesis import OutputFormat, Quality
from sidecar.speech.audio_decoder import AudioDecoder
from sidecar.speech.audio_encoder import TURN_SECONDS, StreamEncoder, encode, encode_turn, encoding
from sidecar.speech.output_formats import FORMATS, media_types
from tests.sidecar.speech.audio_files import likeness, pcm_of, speech_like
from tests.waiting import LIMIT_SECONDS

NAMES: tuple[OutputFormat, ...] = get_args(OutputFormat)
FILES: tuple[OutputFormat, ...] = tuple(name for name in NAMES if name != "pcm")
LOSSLESS = tuple(name for name in NAMES if not FORMATS[name].bit_rates)
LOSSY = tuple(name for name in NAMES if FORMATS[name].bit_rates)
QUALITIES: tuple[Quality, ...] = get_args(Quality)

# ADTS cannot say how much of its first and last frames is padding.
PADDING_FRAMES = {"aac": 2 * 1024}
STREAMED_PADDING_FRAMES = {"aac": 2 * 1024, "mp3": 3 * 576}


def decode(data: bytes, name: OutputFormat, rate: int, *, strict: bool = True) -> bytes:
    """At 16 kHz."""
    if name == "pcm":
        data = encode(data, FORMATS["wav"], rate, "high")
    with AudioDecoder(io.BytesIO(data), field="file", max_seconds=3600, strict=strict) as decoder:
        return b"".join(decoder)


def stream(pcm: bytes, name: OutputFormat, rate: int, piece: int = 3334) -> tuple[bytes, bytes]:
    """What left before the end, and at the end."""
    with StreamEncoder(FORMATS[name], rate, "high") as encoder:
        parts = [encoder.encode(pcm[at : at + piece]) for at in range(0, len(pcm), piece)]
        return b"".join(parts), encoder.finish()


def seconds(pcm: bytes) -> float:
    return len(pcm) / 32000


@pytest.mark.parametrize("name", ["wav", "opus"])
def test_a_long_file_is_encoded_in_turns_and_a_short_one_in_one(name: OutputFormat) -> None:
    pcm = pcm_of(speech_like(2.5 * TURN_SECONDS, 8000))
    long = encoding(pcm, FORMATS[name], 8000, "low")
    assert [encode_turn(long) for _ in range(2)] == [None, None]
    file = encode_turn(long)
    assert file is not None
    assert file.sample_rate == FORMATS[name].encoded_rate(8000)
    heard = decode(file.data, name, file.sample_rate)
    assert seconds(heard) == pytest.approx(2.5 * TURN_SECONDS, abs=0.1)
    assert encode_turn(encoding(pcm[:16000], FORMATS[name], 8000, "low")) is not None


def test_every_format_of_the_api_is_written() -> None:
    assert tuple(FORMATS) == NAMES


def test_media_types_are_those_of_the_formats_named_each_once() -> None:
    assert media_types(["wav", "opus", "ogg"]) == ("audio/ogg", "audio/wav")


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 48000])
@pytest.mark.parametrize("name", NAMES)
def test_a_whole_file_plays_what_was_encoded(name: OutputFormat, rate: int) -> None:
    data = encode(pcm_of(speech_like(2, rate)), FORMATS[name], rate, "high")
    heard = decode(data, name, rate)
    allowed = 0.05 + PADDING_FRAMES.get(name, 0) / rate
    assert seconds(heard) == pytest.approx(2, abs=allowed)
    assert likeness(heard, speech_like(2, 16000), within=round(16000 * allowed)) > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_plays_the_same_as_the_whole_file(name: OutputFormat) -> None:
    pcm = pcm_of(speech_like(2, 24000))
    streamed = decode(b"".join(stream(pcm, name, 24000)), name, 24000)
    whole = decode(encode(pcm, FORMATS[name], 24000, "high"), name, 24000)
    padding = STREAMED_PADDING_FRAMES.get(name, 0) / 24000
    assert seconds(streamed) == pytest.approx(2, abs=0.05 + padding)
    original = np.frombuffer(whole, "<i2")
    assert likeness(streamed, original, within=round(16000 * padding)) > 0.995


@pytest.mark.parametrize("quality", QUALITIES)
def test_aac_is_nearer_to_the_samples_than_with_the_coder_that_ffmpeg_prefers(
    quality: Quality,
) -> None:
    samples = speech_like(2, 16000)
    heard = decode(encode(pcm_of(samples), FORMATS["aac"], 16000, quality), "aac", 16000)
    assert likeness(heard, samples, within=2048) > 0.99999


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("streamed", [False, True])
def test_lossless_formats_return_every_sample(name: OutputFormat, *, streamed: bool) -> None:
    pcm = pcm_of(speech_like(1.001, 16000))
    data = (
        b"".join(stream(pcm, name, 16000))
        if streamed
        else encode(pcm, FORMATS[name], 16000, "high")
    )
    assert decode(data, name, 16000) == pcm


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [22050, 24000])
def test_encoded_audio_is_sent_at_once_except_the_codecs_delay(
    name: OutputFormat, rate: int
) -> None:
    """What left before the end, decoded, holds all of the audio but the last moment."""
    pcm = pcm_of(speech_like(2, rate))
    early, _ = stream(pcm, name, rate)
    heard = decode(early, name, rate, strict=False)
    assert seconds(heard) > 2 - 0.12
    size = len(heard) // 2
    assert likeness(heard, speech_like(2, 16000)[:size], within=1500) > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_pieces_of_any_size_make_the_same_stream(name: OutputFormat) -> None:
    pcm = pcm_of(speech_like(0.5, 24000))
    small, large = (decode(b"".join(stream(pcm, name, 24000, n)), name, 24000) for n in (62, 9**6))
    assert small == large


@pytest.mark.parametrize("name", FILES)
def test_a_whole_files_header_states_its_length(name: OutputFormat) -> None:
    data = encode(pcm_of(speech_like(3, 24000)), FORMATS[name], 24000, "medium")
    demuxer = {"adts": "aac"}.get(FORMATS[name].container, FORMATS[name].container)
    with av.open(io.BytesIO(data), "r", format=demuxer) as container:
        assert container.duration is not None
        # ADTS has no header; a player guesses from the bit rate.
        assert container.duration / 1e6 == pytest.approx(3, rel=0.2 if name == "aac" else 0.005)


def test_a_streamed_wav_says_that_its_length_is_unknown() -> None:
    early, rest = stream(b"\1\0" * 100, "wav", 24000)
    assert early[4:8] == early[40:44] == b"\xff" * 4
    assert (len(early), rest) == (44 + 200, b"")


@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_opened_before_its_samples_makes_the_same_file(name: OutputFormat) -> None:
    pcm = pcm_of(speech_like(0.5, 24000))
    files = []
    for is_opened in (False, True):
        with StreamEncoder(FORMATS[name], 24000, "high") as encoder:
            if is_opened:
                encoder.open()
            files.append(encoder.encode(pcm[:8192]) + encoder.encode(pcm[8192:]) + encoder.finish())
    assert files[0] == files[1]


def test_the_header_leaves_with_the_first_piece() -> None:
    with StreamEncoder(FORMATS["ogg"], 24000, "high") as encoder:
        assert encoder.encode(b"").startswith(b"OggS")


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("rate", [8000, 24000, 48000])
def test_a_higher_quality_gives_a_larger_file(name: OutputFormat, rate: int) -> None:
    noise = np.random.default_rng(0).normal(0, 4000, rate).astype("<i2")
    sizes = [len(encode(pcm_of(noise), FORMATS[name], rate, quality)) for quality in QUALITIES]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]


@pytest.mark.parametrize(
    ("name", "rate", "encoded"),
    [
        ("wav", 22050, 22050),
        ("flac", 20000, 20000),
        ("mp3", 24000, 24000),
        ("mp3", 20000, 22050),
        ("aac", 44100, 44100),
        ("aac", 96000, 48000),
        ("opus", 22050, 48000),
    ],
)
def test_a_file_has_the_next_rate_that_its_codec_takes(
    name: OutputFormat, rate: int, encoded: int
) -> None:
    assert FORMATS[name].encoded_rate(rate) == encoded


@pytest.mark.parametrize("rate", [20000, 22050, 44100])
@pytest.mark.parametrize("name", FILES)
def test_the_encoders_rate_is_the_files(name: OutputFormat, rate: int) -> None:
    encoded = FORMATS[name].encoded_rate(rate)
    with StreamEncoder(FORMATS[name], rate, "low") as encoder:
        data = encoder.encode(pcm_of(speech_like(0.5, rate))) + encoder.finish()
        assert encoder.sample_rate == encoded
    with AudioDecoder(io.BytesIO(data), field="file", max_seconds=10) as decoder:
        assert decoder.facts.sample_rate == encoded


@pytest.mark.parametrize("name", NAMES)
def test_empty_audio_can_be_encoded(name: OutputFormat) -> None:
    encode(b"", FORMATS[name], 24000, "high")
    stream(b"", name, 24000)


@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_that_is_left_early_is_closed(name: OutputFormat) -> None:
    with StreamEncoder(FORMATS[name], 24000, "high") as encoder:
        encoder.encode(pcm_of(speech_like(0.3, 24000)))
    with pytest.raises(ValueError, match="closed"):
        encoder.encode(b"\0\0")
    encoder.close()


class WatchedSamples(bytes):
    """Tells when somebody takes a piece of it."""

    is_read: threading.Event

    def __getitem__(self, key: Any) -> Any:
        self.is_read.set()
        return super().__getitem__(key)


def test_an_encoder_may_be_closed_while_another_thread_encodes() -> None:
    pcm = WatchedSamples(pcm_of(speech_like(5, 24000)))
    for _ in range(3):
        encoder = StreamEncoder(FORMATS["opus"], 24000, "high")
        done, pcm.is_read = threading.Event(), threading.Event()

        def work(encoder: StreamEncoder = encoder, done: threading.Event = done) -> None:
            encoder.encode(pcm)
            done.set()

        thread = threading.Thread(target=work)
        thread.start()
        assert pcm.is_read.wait(LIMIT_SECONDS)
        encoder.close()
        assert done.wait(LIMIT_SECONDS)
        thread.join()
