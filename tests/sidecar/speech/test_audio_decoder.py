"""What is read, what is refused, and how little it takes."""

import io
import math
import resource
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from sidecar.errors import AudioTooLarge, AudioTooLong, CorruptAudio, SidecarError, UnsupportedAudio
from sidecar.speech.audio_decoder import (
    INPUT_FORMATS,
    SAMPLE_RATE,
    TURN_SAMPLES,
    AudioDecoder,
    probe,
)
from sidecar.speech.audio_encoder import StreamEncoder, encode
from sidecar.speech.output_formats import FORMATS
from tests.needs import need_recording
from tests.sidecar.speech.audio_files import FRAGMENTS, likeness, pcm_of, speech_like, write
from tests.waiting import LIMIT_SECONDS


def decode(data: bytes, **options: Any) -> bytes:
    with AudioDecoder(io.BytesIO(data), field="file", max_seconds=60, **options) as decoder:
        return b"".join(decoder)


def refusal(data: bytes, **options: Any) -> SidecarError:
    with pytest.raises(SidecarError) as caught:
        decode(data, **options)
    return caught.value


# container, codec, options, our name, codec as we say it
WRITTEN = [
    ("wav", "pcm_s16le", {}, "wav", "pcm_s16le"),
    ("wav", "pcm_s24le", {}, "wav", "pcm_s24le"),
    ("wav", "pcm_f32le", {}, "wav", "pcm_f32le"),
    ("wav", "pcm_mulaw", {}, "wav", "pcm_mulaw"),
    ("wav", "pcm_s16le", {"rf64": "always"}, "wav", "pcm_s16le"),
    ("mp3", "libmp3lame", {}, "mp3", "mp3"),
    ("ogg", "libopus", {}, "ogg", "opus"),
    ("ogg", "vorbis", {}, "ogg", "vorbis"),
    ("ogg", "flac", {}, "ogg", "flac"),
    ("flac", "flac", {}, "flac", "flac"),
    ("adts", "aac", {}, "aac", "aac"),
    ("ipod", "aac", {}, "m4a", "aac"),
    ("ipod", "alac", {}, "m4a", "alac"),
    ("mp4", "aac", {}, "mp4", "aac"),
    ("mp4", "aac", FRAGMENTS, "mp4", "aac"),
    ("webm", "libopus", {}, "webm", "opus"),
    ("webm", "libopus", {"live": "1"}, "webm", "opus"),
    ("matroska", "aac", {}, "mkv", "aac"),
]


LAYOUTS = [  # FFmpeg's own Vorbis encoder writes stereo alone
    (*kind, layout)
    for kind in WRITTEN
    for layout in ("mono", "stereo")
    if (kind[1], layout) != ("vorbis", "mono")
]


@pytest.mark.parametrize(("container", "codec", "options", "name", "said", "layout"), LAYOUTS)
def test_files_of_other_programs_are_read(
    container: str, codec: str, options: dict[str, str], name: str, said: str, layout: str
) -> None:
    data = write(container, codec, speech_like(2, 48000), 48000, layout=layout, options=options)
    facts = probe(io.BytesIO(data), field="file")
    assert facts[:4] == (name, said, 48000, 1 if layout == "mono" else 2)
    heard = decode(data, strict=True)
    assert len(heard) / 32000 == pytest.approx(2, abs=0.05)
    assert likeness(heard, speech_like(2, 16000), within=900) > 0.95


def test_every_format_that_is_promised_is_tested() -> None:
    assert {name for *_, name, _ in WRITTEN} == set(INPUT_FORMATS)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 96000, 192000])
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1", "7.1"])
def test_any_rate_and_layout_becomes_16_khz_mono(rate: int, layout: str) -> None:
    data = write("wav", "pcm_s16le", speech_like(1, rate) // 4, rate, layout=layout)
    heard = decode(data)
    assert len(heard) / 32000 == pytest.approx(1, abs=0.002)
    assert likeness(heard, speech_like(1, 16000), within=20) > 0.95


def test_16_khz_mono_is_returned_as_it_is() -> None:
    pcm = pcm_of(speech_like(1, SAMPLE_RATE))
    assert decode(encode(pcm, FORMATS["wav"], SAMPLE_RATE, "high")) == pcm


def test_the_real_recording_of_a_wheel_is_read() -> None:
    with (
        need_recording("beckett.wav").open("rb") as file,
        AudioDecoder(file, field="file", max_seconds=60) as decoder,
    ):
        assert decoder.facts.format == "wav"
        heard = b"".join(decoder)
        assert decoder.facts.seconds == pytest.approx(len(heard) / 32000, abs=0.01)


def test_a_leading_tag_with_a_picture_is_skipped() -> None:
    mp3 = write("mp3", "libmp3lame", speech_like(1, 24000), 24000, options={"id3v2_version": "0"})
    frame = b"APIC" + struct.pack(">I", 9000) + b"\0\0" + b"\0image/png\0\3\0\x89PNG" + bytes(8981)
    tag = b"ID3\3\0\0" + bytes([0, 0, len(frame) >> 7, len(frame) & 127]) + frame
    assert probe(io.BytesIO(tag + mp3), field="file").format == "mp3"
    assert len(decode(tag + mp3)) / 32000 == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["wav", "mp3", "ogg", "aac", "flac"])
def test_our_streams_are_read_with_their_duration(name: Any) -> None:
    with StreamEncoder(FORMATS[name], 24000, "high") as encoder:
        data = encoder.encode(pcm_of(speech_like(2, 24000))) + encoder.finish()
    assert len(decode(data)) / 32000 == pytest.approx(2, abs=0.1)


# --- blocks and limits


def test_blocks_have_the_wanted_length_but_for_the_last() -> None:
    data = write("flac", "flac", speech_like(3.5, 44100), 44100)
    with AudioDecoder(
        io.BytesIO(data), field="file", max_seconds=60, block_seconds=1.024
    ) as decoder:
        blocks = list(decoder)
        assert decoder.read() == b""
    assert [len(block) for block in blocks[:-1]] == [2 * 16384] * 3
    assert sum(map(len, blocks)) == 2 * 16000 * 3.5


def silence(seconds: int) -> bytes:
    """FLAC: 2 h in a few MB."""
    return encode(bytes(seconds * 2 * 8000), FORMATS["flac"], 8000, "high")


def test_a_length_that_is_stated_is_refused_at_once() -> None:
    data = silence(90)
    error = refusal(data)
    assert isinstance(error, AudioTooLong)
    assert (error.status, error.extra) == (400, {"max_duration": 60, "file_duration": 90})
    assert error.detail.startswith("file: ")


def test_a_length_that_is_not_stated_is_refused_where_it_is_passed() -> None:
    data = silence(7200)
    unstated = data[:21] + bytes([data[21] & 0xF0]) + bytes(4) + data[26:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with AudioDecoder(io.BytesIO(unstated), field="file", max_seconds=600) as decoder:
        assert decoder.facts.seconds is None
        blocks = [len(decoder.read()) for _ in range(19)]
        with pytest.raises(AudioTooLong) as caught:
            list(decoder)
    assert blocks == [2 * 16000 * 30] * 19
    assert caught.value.extra == {"max_duration": 600, "file_duration": None}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_audio_of_just_the_limit_is_read() -> None:
    for container, codec in (("wav", "pcm_s16le"), ("ipod", "aac"), ("mp3", "libmp3lame")):
        data = write(container, codec, speech_like(2, 48000), 48000)
        with AudioDecoder(io.BytesIO(data), field="file", max_seconds=2) as decoder:
            assert b"".join(decoder)


def test_a_false_length_in_a_header_does_not_hide_the_audio() -> None:
    """A WAV that was cut off: its header still has the old length."""
    data = encode(pcm_of(speech_like(30, 16000)), FORMATS["wav"], 16000, "high")[:64044]
    assert decode(data) == pcm_of(speech_like(30, 16000))[:64000]


# --- refusals

M3U8 = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
SDP = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\n"
STRANGERS = {
    "m3u8": M3U8,
    "sdp": SDP,
    "ffconcat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "ffmetadata": b";FFMETADATA1\ntitle=x\n",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(100),
    "srt": b"1\n00:00:00,000 --> 00:00:01,000\nhello\n",
    "utf-16": "\ufeffhello".encode("utf-16"),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "dash": b"<?xml version='1.0'?><MPD/>",
    "avi": b"RIFF\x10\x00\x00\x00AVI LIST",
    "aiff": b"FORM\x00\x00\x00\x10AIFFCOMM",
    "au": b".snd" + bytes(40),
    "mpegts": b"\x47" + bytes(187),
    "wav, big-endian": b"RIFX\x10\x00\x00\x00WAVEfmt ",
    "mp3, layer II": b"\xff\xfd\x84\x00" + bytes(200),
}


@pytest.mark.parametrize("data", STRANGERS.values(), ids=STRANGERS)
def test_unlisted_formats_never_reach_ffmpeg(data: bytes) -> None:
    error = refusal(data)
    assert isinstance(error, UnsupportedAudio)
    assert error.status == 400
    assert error.detail.startswith("file: ")
    assert error.extra == {"supported_formats": list(INPUT_FORMATS)}


@pytest.mark.parametrize("head", [b"", b"ID3\3\0\0\0\0\0\0", b"fLaC", b"OggS", b"\xff\xfb\x90\x00"])
@pytest.mark.parametrize("script", [M3U8, SDP])
def test_a_script_in_disguise_opens_nothing(head: bytes, script: bytes) -> None:
    assert isinstance(refusal(head + script), UnsupportedAudio | CorruptAudio)


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """*new* in the place of *old*; the parents' sizes grow."""
    at = data.index(old)
    grown = bytearray(data)
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        place = data.rindex(parent, 0, at) - 4
        size = int.from_bytes(data[place : place + 4]) + len(new) - len(old)
        grown[place : place + 4] = size.to_bytes(4)
    return bytes(grown[:at] + new + grown[at + len(old) :])


def with_reference(target: bytes) -> bytes:
    """An MP4 whose samples lie in another file: an alias record with an absolute path."""
    data = write("mp4", "aac", speech_like(1, 48000), 48000)
    old = box(b"dref", bytes(4), (1).to_bytes(4), box(b"url ", b"\0\0\0\1"))
    path = struct.pack(">HH", 2, len(target)) + target + b"\0" * (len(target) % 2)
    alias = bytes(4) + bytes(6) + bytes(140) + path + struct.pack(">HH", 0xFFFF, 0)
    new = box(b"dref", bytes(4), (1).to_bytes(4), box(b"alis", bytes(4), alias[4:]))
    return replaced(data, old, new)


def test_an_mp4_that_refers_to_another_file_gets_nothing_of_it(tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(write("mp4", "aac", speech_like(1, 48000), 48000))
    assert isinstance(refusal(with_reference(bytes(other))), CorruptAudio | UnsupportedAudio)


def tables(data: bytes, kind: str, count: int) -> bytes:
    """*data*, an MP4 with sound alone, with a table of *count* samples."""
    at = data.index(kind.encode()) + {"stsz": 12, "stsc": 16, "trun": 8}[kind]
    return data[:at] + count.to_bytes(4) + data[at + 4 :]


AAC = write("mp4", "aac", speech_like(0.5, 48000), 48000)
PCM = write("mov", "pcm_s16be", speech_like(0.5, 48000), 48000)
FRAGMENTED = write("mp4", "aac", speech_like(0.5, 48000), 48000, options=FRAGMENTS)


@pytest.mark.parametrize(
    ("data", "kind"),
    [(AAC, "stsz"), (PCM, "stsc"), (FRAGMENTED, "trun")],
    ids=["aac", "pcm", "moof"],
)
def test_tables_larger_than_the_file_are_refused_before_they_are_made(
    data: bytes, kind: str
) -> None:
    error = refusal(tables(data, kind, 2**31 - 1))
    assert isinstance(error, CorruptAudio)
    assert "its tables state" in error.detail


@pytest.mark.parametrize(("data", "kind"), [(AAC, "stsc"), (PCM, "stsz")], ids=["aac", "pcm"])
def test_a_sample_table_without_entries_may_declare_any_size(data: bytes, kind: str) -> None:
    decode(AAC)  # what is loaded once is loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(decode(tables(data, kind, 2**31 - 1))) / 32000 == pytest.approx(0.5, abs=0.05)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # kB


def test_an_mp4_without_its_index_was_cut_off() -> None:
    error = refusal(AAC[: AAC.index(b"moov")])
    assert isinstance(error, CorruptAudio)
    assert "it was cut off" in error.detail


def test_a_video_without_sound_says_so() -> None:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        frame = av.VideoFrame(64, 64, "yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    error = refusal(target.getvalue())
    assert isinstance(error, UnsupportedAudio)
    assert "no audio" in error.detail


def test_the_sound_of_a_video_is_read() -> None:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        video = container.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        sound = container.add_stream("aac", rate=48000, layout="mono")
        container.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        samples = speech_like(1, 48000)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 48000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        container.mux(video.encode(None))
    assert len(decode(target.getvalue())) / 32000 == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:44],
        lambda data: data[:12],
        lambda data: data[:20] + b"\x99\x99" + data[22:],  # a codec that nobody has
        lambda data: data[:24] + bytes(4) + data[28:],  # 0 Hz
        lambda data: data[:24] + b"\1\0\0\0" + data[28:],  # 1 Hz
        lambda data: data[:24] + b"\xff" * 4 + data[28:],
        lambda data: data[:22] + b"\0\0" + data[24:],  # no channel
        lambda data: data[:22] + b"\xff\xff" + data[24:],
        lambda data: data[:12] + b"garbage!" * 100,
    ],
)
def test_a_wav_header_with_nonsense_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    data = encode(pcm_of(speech_like(1, 16000)), FORMATS["wav"], 16000, "high")
    assert isinstance(refusal(spoil(data)), CorruptAudio | UnsupportedAudio)


def test_an_empty_file_is_corrupt() -> None:
    error = refusal(b"")
    assert isinstance(error, CorruptAudio)
    assert error.detail == "file: the file is empty"


def test_the_field_is_named() -> None:
    with pytest.raises(CorruptAudio, match="inputs: "):
        AudioDecoder(io.BytesIO(b"fLaC" + bytes(20)), field="inputs", max_seconds=1).read()


@pytest.mark.parametrize(("container", "codec"), [("mp3", "libmp3lame"), ("ogg", "libopus")])
def test_the_rest_of_a_damaged_file_is_read_unless_strict(container: str, codec: str) -> None:
    data = write(container, codec, speech_like(4, 48000), 48000)
    half = len(data) // 2
    holed = data[:half] + bytes(3000) + data[half + 3000 :]
    assert 2.9 < len(decode(holed)) / 32000 < 4.1
    assert 1.5 < len(decode(data[:half])) / 32000 < 2.5


def test_strictly_a_damaged_packet_is_the_end() -> None:
    data = write("flac", "flac", speech_like(4, 48000), 48000)
    half = len(data) // 2
    holed = data[:half] + bytes(20000) + data[half + 20000 :]
    assert len(decode(holed)) > 0
    assert isinstance(refusal(holed, strict=True), CorruptAudio)


def test_the_callers_file_stays_open_and_its_name_unknown(tmp_path: Path) -> None:
    path = tmp_path / "secret.flac"
    path.write_bytes(b"fLaC" + bytes(100))
    with path.open("rb") as file:
        with pytest.raises(CorruptAudio) as caught:
            AudioDecoder(file, field="file", max_seconds=9).read()
        assert not file.closed
        assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_ffmpeg_writes_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    data = write("mp3", "libmp3lame", speech_like(1, 48000), 48000)
    decode(data[:3000] + bytes(500) + data[3500:])
    refusal(b"fLaC" + bytes(100))
    assert capfd.readouterr() == ("", "")


class WatchedFile(io.BytesIO):
    """Tells when somebody reads it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.is_read = threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        self.is_read.set()
        return super().read(size)


def test_a_decoder_may_be_closed_while_another_thread_reads() -> None:
    data = write("flac", "flac", speech_like(20, 48000), 48000)
    for _ in range(3):
        file = WatchedFile(data)
        decoder = AudioDecoder(file, field="file", max_seconds=math.inf, block_seconds=500)
        file.is_read.clear()
        thread = threading.Thread(target=decoder.read)
        thread.start()
        assert file.is_read.wait(LIMIT_SECONDS)
        decoder.close()
        thread.join(LIMIT_SECONDS)
        assert not thread.is_alive()


def test_strictly_an_early_end_is_damage() -> None:
    data = write("flac", "flac", speech_like(4, 48000), 48000)
    cut = data[: len(data) // 2]
    assert 1.5 < len(decode(cut)) / 32000 < 2.5
    assert isinstance(refusal(cut, strict=True), CorruptAudio)


def test_ogg_files_in_a_row_are_read_as_one() -> None:
    """Radio stations send them like that."""
    one = write("ogg", "libopus", speech_like(1, 48000), 48000)
    other = write("ogg", "libopus", speech_like(1, 48000), 48000)
    assert len(decode(one + other)) / 32000 == pytest.approx(2, abs=0.05)


def test_audio_that_changes_its_rate_and_layout_on_the_way_is_read_on() -> None:
    plain = {"write_xing": "0", "id3v2_version": "0"}
    one = write("mp3", "libmp3lame", speech_like(1, 48000), 48000, options=plain)
    other = write("mp3", "libmp3lame", speech_like(1, 24000), 24000, layout="stereo", options=plain)
    assert len(decode(one + other)) / 32000 == pytest.approx(2, abs=0.2)


def dense(seconds: int) -> bytes:
    """Silence at 192 kHz in eight channels."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=192_000, layout="7.1")
        for _ in range(seconds):
            frame = av.AudioFrame(format="s16", layout="7.1", samples=192_000)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate = 192_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def test_audio_is_bounded_by_samples_of_all_channels() -> None:
    data = dense(4)
    read = decode(data, max_samples=4 * 192_000 * 8)
    assert len(read) == pytest.approx(4 * 2 * SAMPLE_RATE, abs=100)
    caught = refusal(data, max_samples=4 * 192_000 * 8 - 1)
    assert isinstance(caught, AudioTooLarge)


def test_samples_are_counted_where_the_file_states_no_length() -> None:
    data = encode(bytes(2 * 24000 * 4), FORMATS["mp3"], 24000, "high")
    assert decode(data, max_samples=5 * 24000)
    assert isinstance(refusal(data, max_samples=3 * 24000), AudioTooLarge)


def test_dense_audio_is_decoded_in_several_turns() -> None:
    data = dense(9)
    with AudioDecoder(io.BytesIO(data), field="file", max_seconds=60) as decoder:
        turns = 1
        while decoder.read_some() is None:
            turns += 1
    assert turns == pytest.approx(9 * 192_000 * 8 / TURN_SAMPLES, abs=1.5)
