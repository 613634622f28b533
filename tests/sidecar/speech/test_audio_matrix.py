"""The audio that people have: each file is heard, or a sentence says what of it is not."""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.stream import Disposition

from sidecar.errors import CorruptAudio, UnsupportedAudio
from sidecar.speech.audio_decoder import AudioDecoder
from tests.sidecar.speech.audio_files import FRAGMENTS, Samples, likeness, speech_like, write

RATE = 16000
SPEECH = speech_like(2, RATE)
SPEECH_48 = speech_like(2, 48000)


def hear(data: bytes, *, strict: bool = False, **options: Any) -> tuple[Samples, list[str]]:
    """The samples of *data*, and what is not in them."""
    with AudioDecoder(
        io.BytesIO(data), field="file", max_seconds=4000, strict=strict, **options
    ) as decoder:
        pcm = b"".join(decoder)
        return np.frombuffer(pcm, "<i2"), decoder.warnings


def assert_heard(data: bytes, original: Samples = SPEECH, *, begins: float = 0.0) -> None:
    """All of *original* is there, *begins* seconds from the start, and nothing is to be said."""
    heard, warnings = hear(data, strict=True)
    assert warnings == []
    assert len(heard) / RATE == pytest.approx(begins + len(original) / RATE, abs=0.12)
    late = np.concatenate([np.zeros(round(begins * RATE), np.int16), original])
    assert likeness(heard, late, within=1200) > 0.95


QUICKTIME = [
    "pcm_s16le",
    "pcm_s16be",
    "pcm_s24le",
    "pcm_s24be",
    "pcm_s32le",
    "pcm_s32be",
    "pcm_s8",
    "pcm_u8",
    "pcm_f32le",
    "pcm_f32be",
    "pcm_f64be",
    "pcm_mulaw",
    "pcm_alaw",
    "adpcm_ima_qt",
    "alac",
    "aac",
    "libmp3lame",
]
FILES = [
    *(("mov", codec) for codec in QUICKTIME),
    *(("wav", f"pcm_{codec}") for codec in ("u8", "s32le", "f64le", "alaw")),
    *(("wav", codec) for codec in ("adpcm_ms", "adpcm_ima_wav", "libmp3lame")),
    *(("matroska", codec) for codec in ("pcm_s16be", "pcm_f32le", "ac3", "libmp3lame", "vorbis")),
    *(("mp4", codec) for codec in ("flac", "ac3", "libopus", "libmp3lame", "alac")),
    *(("3gp", codec) for codec in ("aac",)),
]


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize(("container", "codec"), FILES)
def test_every_codec_in_every_container_is_heard(container: str, codec: str, rate: int) -> None:
    if codec in {"ac3", "libopus", "vorbis"} or (container, codec) == ("mp4", "libmp3lame"):
        rate = 48000  # they have no other
    layout = "stereo" if codec == "vorbis" else "mono"
    heard, warnings = hear(write(container, codec, speech_like(2, rate), rate, layout=layout))
    assert warnings == []
    assert len(heard) / RATE == pytest.approx(2, abs=0.3)
    assert likeness(heard, SPEECH, within=3000) > 0.9


@pytest.mark.parametrize(
    ("container", "codec", "said"),
    [
        ("matroska", "mp2", "mp2"),
        ("matroska", "wavpack", "wavpack"),
        ("matroska", "tta", "tta"),
    ],
)
def test_a_codec_that_is_not_read_is_named(container: str, codec: str, said: str) -> None:
    with pytest.raises(UnsupportedAudio) as refusal:
        hear(write(container, codec, SPEECH, RATE))
    assert f"its codec, {said}, is not read" in refusal.value.detail


def test_a_quicktime_file_from_before_there_were_brands_is_heard() -> None:
    data = write("mov", "pcm_s16be", SPEECH, RATE)
    size = int.from_bytes(data[:4])
    assert data[4:8] == b"ftyp"
    free = size.to_bytes(4) + b"free" + bytes(size - 8)
    assert_heard(free + data[size:])


# --- channels


def channels(*planes: Samples, layout: str, codec: str = "pcm_s16le") -> bytes:
    """A WAV or FLAC file with *planes* in its channels."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac" if codec == "flac" else "wav") as output:
        stream = output.add_stream(codec, rate=RATE, layout=layout)
        assert isinstance(stream, AudioStream)
        together = np.ascontiguousarray(np.stack(planes, axis=1).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(together, format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


SILENT = np.zeros_like(SPEECH)
OTHER = (speech_like(2.7, RATE)[-len(SPEECH) :] // 2).astype(np.int16)


@pytest.mark.parametrize("codec", ["pcm_s16le", "flac"])
def test_channels_that_cancel_each_other_are_heard(codec: str) -> None:
    assert_heard(channels(SPEECH, -SPEECH, layout="stereo", codec=codec))


def test_channels_that_nearly_cancel_each_other_are_heard() -> None:
    weaker = (-0.8 * SPEECH).astype(np.int16)
    assert_heard(channels(SPEECH, weaker, layout="stereo"))


@pytest.mark.parametrize("place", range(6))
def test_sound_on_one_of_many_channels_is_heard(place: int) -> None:
    planes = [SILENT] * 6
    planes[place] = SPEECH
    assert_heard(channels(*planes, layout="5.1"))


def test_two_people_on_a_channel_each_are_both_heard() -> None:
    heard, _ = hear(channels(SPEECH, OTHER, layout="stereo"))
    both = ((SPEECH.astype(int) + OTHER) // 2).astype(np.int16)
    assert likeness(heard, both, within=20) > 0.99


# --- levels


def floats(samples: Samples, factor: float) -> bytes:
    """A WAV of 32-bit floats."""
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as output:
        stream = output.add_stream("pcm_f32le", rate=RATE, layout="mono")
        numbers = (samples.astype(np.float32) * np.float32(factor / 32768))[None]
        frame = av.AudioFrame.from_ndarray(numbers, format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("factor", [8.0, 32768.0, 1e12])
def test_floats_beyond_full_scale_keep_their_shape(factor: float) -> None:
    heard, _ = hear(floats(SPEECH, factor))
    assert likeness(heard, SPEECH, within=2) > 0.999
    assert np.abs(heard.astype(int)).max() == pytest.approx(32767, abs=2)


@pytest.mark.parametrize("decibels", [-60, -80, -100])
def test_quiet_speech_is_raised_before_it_is_rounded(decibels: float) -> None:
    heard, _ = hear(floats(SPEECH, 10 ** (decibels / 20)))
    assert likeness(heard, SPEECH, within=2) > 0.99
    assert np.sqrt(np.square(heard / 32768).mean()) > 0.005


def test_speech_of_usual_loudness_is_left_as_it_is() -> None:
    heard, _ = hear(floats(SPEECH, 0.25))
    assert np.abs(heard - SPEECH / 4).max() <= 1


def test_silence_stays_silent() -> None:
    heard, _ = hear(floats(SILENT, 1))
    assert not heard.any()


def test_numbers_that_are_none_are_silent() -> None:
    data = bytearray(floats(SPEECH, 1))
    data[5000:5008] = np.array([np.nan, np.inf], "<f4").tobytes()
    heard, _ = hear(bytes(data))
    assert len(heard) == len(SPEECH)


# --- tracks


def video_file(
    container: str,
    *,
    pictures: int,
    tracks: list[tuple[Samples, float, bool]],
) -> bytes:
    """A film of ten pictures a second, with tracks of samples at 48 kHz: when each begins in
    seconds, and whether it is the one to play."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        video = output.add_stream("mpeg4", rate=10, width=16, height=16)
        video.pix_fmt = "yuv420p"
        sounds = [output.add_stream("aac", rate=48000, layout="mono") for _ in tracks]
        for sound, (_, _, default) in zip(sounds, tracks, strict=True):
            sound.disposition = Disposition.default if default else Disposition(0)
        for sound, (samples, begins, _) in zip(sounds, tracks, strict=True):
            frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
            frame.pts = round(begins * 48000)
            output.mux(sound.encode(frame))
            output.mux(sound.encode(None))
        for number in range(pictures):
            picture = av.VideoFrame(16, 16, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 10)
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
def test_the_default_track_is_heard_and_the_others_are_told(container: str) -> None:
    silent = np.zeros_like(SPEECH_48)
    data = video_file(container, pictures=5, tracks=[(silent, 0, False), (SPEECH_48, 0, True)])
    heard, warnings = hear(data)
    assert likeness(heard, SPEECH, within=1200) > 0.95
    assert warnings == ["the file has 2 audio tracks: only track 2 was heard"]


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
def test_a_track_that_begins_late_begins_with_silence(container: str) -> None:
    data = video_file(container, pictures=80, tracks=[(SPEECH_48, 5.0, True)])
    assert_heard(data, begins=5.0)


def test_the_start_time_of_a_live_stream_is_not_silence() -> None:
    """Its clock began long before the recording did."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm", container_options={"live": "1"}) as output:
        stream = output.add_stream("libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(SPEECH_48[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 48000 * 3600, Fraction(1, 48000)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert_heard(file.getvalue())


def test_a_gap_within_a_track_is_silence() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for begins in (0, 5):
            frame = av.AudioFrame.from_ndarray(SPEECH[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, begins * RATE, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    gap = np.zeros(3 * RATE, np.int16)
    assert_heard(file.getvalue(), np.concatenate([SPEECH, gap, SPEECH]))


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
def test_a_long_film_with_little_sound_is_heard(container: str) -> None:
    data = video_file(container, pictures=30_000, tracks=[(SPEECH_48, 0, True)])
    assert len(hear(data, strict=True)[0]) / RATE == pytest.approx(2, abs=0.12)


# --- chains


def pieces() -> Iterator[tuple[str, bytes]]:
    yield "opus, mono", write("ogg", "libopus", SPEECH_48, 48000)
    yield "opus, stereo", write("ogg", "libopus", SPEECH_48, 48000, layout="stereo")
    yield "vorbis, 44.1 kHz", write("ogg", "vorbis", speech_like(2, 44100), 44100, layout="stereo")
    yield "vorbis, 22 kHz", write("ogg", "vorbis", speech_like(2, 22050), 22050, layout="stereo")
    yield "flac, mono", write("ogg", "flac", SPEECH, RATE)
    yield "flac, stereo", write("ogg", "flac", speech_like(2, 8000), 8000, layout="stereo")


OGG = dict(pieces())


@pytest.mark.parametrize("second", OGG)
@pytest.mark.parametrize("first", OGG)
def test_all_links_of_an_ogg_chain_are_heard(first: str, second: str) -> None:
    heard, warnings = hear(OGG[first] + OGG[second], strict=True)
    assert warnings == []
    half = len(heard) // 2
    for part in (heard[:half], heard[half:]):
        assert likeness(part, SPEECH, within=1200) > 0.94


def test_a_link_that_is_not_read_is_told_with_its_time() -> None:
    strange = OGG["opus, stereo"].replace(b"OpusHead", b"Somebody")
    heard, warnings = hear(OGG["flac, mono"] + strange + OGG["opus, mono"])
    assert len(heard) / RATE == pytest.approx(4, abs=0.1)
    (warning,) = warnings
    assert warning.startswith("what follows at 2.0 s was left out: ")
    with pytest.raises(CorruptAudio, match="what follows at 2"):
        hear(OGG["flac, mono"] + strange, strict=True)


def wav(samples: Samples = SPEECH, rate: int = RATE) -> bytes:
    return write("wav", "pcm_s16le", samples, rate)


def test_wav_files_in_a_row_are_heard_where_they_are_alike() -> None:
    heard, warnings = hear(wav() + wav())
    assert len(heard) / RATE == pytest.approx(4, abs=0.05)
    assert warnings == ["the length in the header is too short: the file was read to its end"]
    heard, warnings = hear(wav() + wav(speech_like(2, 8000), 8000))
    assert len(heard) / RATE == pytest.approx(2, abs=0.05)
    assert warnings == ["a second recording in the file, of another format, was left out"]


# --- lengths


def with_length(data: bytes, length: int) -> bytes:
    at = data.index(b"data") + 4
    return data[:at] + length.to_bytes(4, "little") + data[at + 4 :]


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_a_wav_that_was_streamed_is_whole(length: int) -> None:
    assert_heard(with_length(wav(), length))


def test_a_wav_whose_header_is_old_is_read_to_its_end() -> None:
    heard, warnings = hear(with_length(wav(), 1000))
    assert likeness(heard, SPEECH, within=2) > 0.999
    assert warnings == ["the length in the header is too short: the file was read to its end"]


def test_chunks_after_the_audio_of_a_wav_are_ignored() -> None:
    tag = b"LIST" + (6000).to_bytes(4, "little") + b"INFO" + bytes(5996)
    assert_heard(wav() + tag)
    heard, warnings = hear(wav() + b"ID3\x03" + bytes(9000))
    assert len(heard) == len(SPEECH)
    assert warnings == []


TALK, TALK_48 = speech_like(8, RATE), speech_like(8, 48000)
TRUNCATED = {
    "wav": wav(TALK),
    "wav of floats": floats(TALK, 0.5),
    "opus": write("ogg", "libopus", TALK_48, 48000),
    "vorbis": write("ogg", "vorbis", TALK_48, 48000, layout="stereo"),
    "ogg flac": write("ogg", "flac", TALK, RATE),
    "flac": write("flac", "flac", TALK, RATE),
    "mp3": write("mp3", "libmp3lame", TALK, RATE),
    "aac": write("adts", "aac", TALK_48, 48000),
    "webm": write("webm", "libopus", TALK_48, 48000),
    "webm as it was recorded": write("webm", "libopus", TALK_48, 48000, options={"live": "1"}),
    "mkv": write("matroska", "aac", TALK_48, 48000),
    "mp4 with its index first": write("mp4", "aac", TALK_48, 48000, options={"moov_size": "20000"}),
    "mp4 in fragments": write("mp4", "aac", TALK_48, 48000, options=FRAGMENTS),
    "mov with its index first": write(
        "mov", "pcm_s16be", TALK, RATE, options={"moov_size": "20000"}
    ),
}


@pytest.mark.parametrize("name", TRUNCATED)
@pytest.mark.parametrize("part", [0.5, 0.71, 0.9])
def test_a_truncated_file_is_heard_up_to_the_cut_with_a_warning(name: str, part: float) -> None:
    data = TRUNCATED[name]
    hear(data, strict=True)  # it was whole
    cut = data[: round(part * len(data))]
    heard, warnings = hear(cut)
    assert 1 < len(heard) / RATE < 8
    assert warnings
    assert all(any(sign in each for sign in ("cut", "early", "damaged")) for each in warnings)
    with pytest.raises(CorruptAudio):
        hear(cut, strict=True)


@pytest.mark.parametrize("name", ["ipod", "mov"])
def test_a_missing_weight_index_is_named(name: str) -> None:
    data = write(name, "aac", SPEECH_48, 48000)
    with pytest.raises(CorruptAudio, match="the box that says where the sound lies"):
        hear(data[: len(data) // 2])


def test_a_header_with_junk_behind_it_was_cut_off() -> None:
    data = wav()
    heard, warnings = hear(data[: data.index(b"data") + 8] + bytes(range(150)))
    assert 0 < len(heard) < 200
    (warning,) = warnings
    assert warning.startswith("it was cut off at 0.0 s")


def test_a_file_of_many_faults_is_not_told_of_without_end() -> None:
    data = bytearray(write("adts", "aac", speech_like(20, 48000), 48000))
    for place in range(1000, len(data), 1500):
        data[place : place + 40] = bytes(40)
    _, warnings = hear(bytes(data))
    assert 1 <= len(warnings) <= 3
