"""Audio files as they come in: what they are, and FFmpeg restricted to reading them.

FFmpeg is told what kind of file it is, and gets no name, no protocol and no way to open another.
"""

import io
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple, NoReturn

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard, Disposition

from sidecar.errors import CorruptAudio, UnsupportedAudio
from sidecar.speech.container import (
    CONTAINERS,
    Container,
    begins_as_text,
    detect,
    stated_frames,
)
from sidecar.speech.matroska_length import is_cut_off
from sidecar.speech.ogg_links import find_links
from sidecar.speech.sample_tables import read_tables
from sidecar.speech.wave_length import read_wave_length

INPUT_FORMATS = tuple(container.name for container in CONTAINERS)
SAMPLE_RATES = range(4000, 384_001)
MAX_CHANNELS = 8
MAX_FRAME_SAMPLES = 2**18

_PCM_CODECS = (
    "u8",
    "s8",
    "s16le",
    "s24le",
    "s32le",
    "f32le",
    "f64le",
    "alaw",
    "mulaw",
    "s16be",
    "s24be",
    "s32be",
    "f32be",
    "f64be",
)
_PACKED_CODECS = ("mp3", "mp3float", "vorbis", "opus", "flac", "aac", "alac", "ac3", "eac3")
_DICTATION_CODECS = ("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt")
CODECS = frozenset((*_PACKED_CODECS, *_DICTATION_CODECS, *map("pcm_{}".format, _PCM_CODECS)))

_WAVE_PACKET_BYTES = 2**15  # FFmpeg's own are 4 KiB, and each costs as much

# The file's kind is ours to say, so FFmpeg should want to open nothing; these see to it.
_OPTIONS = {
    "protocol_whitelist": "none",
    "codec_whitelist": ",".join(sorted(CODECS)),
    "max_streams": "32",
    "enable_drefs": "0",
    "advanced_editlist": "0",  # edits times samples: a short file could claim any length
}

FAULTS = (FFmpegError, ValueError)  # what PyAV raises about what it reads


class AudioProperties(NamedTuple):
    """What a file says of itself.  *seconds* may be wrong: nothing was decoded."""

    format: str
    codec: str
    sample_rate: int
    channels: int
    seconds: float | None


class Part(NamedTuple):
    """Bytes *start* to *end* (not included) of a file that are a recording of their own.

    *options* are what its demuxer is told.  *cut_off* says how it is known that the end is
    missing.  *guesses*: what FFmpeg says of its length is a guess from the first frames' bit rate;
    *mp3_frames* is how many there should be, 0 where nobody says.  *timed*: its packets say when
    they are heard; *fragmented*: it was written while it was recorded, and may begin at any time.
    """

    start: int
    end: int
    options: Mapping[str, str] = {}
    cut_off: str | None = None
    guesses: bool = False
    mp3_frames: int = 0
    timed: bool = False
    fragmented: bool = False


class AudioFile(NamedTuple):
    """A file whose kind is known, as parts that are read one after another.

    *remarks* are sentences about what of it will not be heard.
    """

    kind: Container
    parts: tuple[Part, ...]
    remarks: tuple[str, ...] = ()


class OpenPart(NamedTuple):
    """A part that can be decoded; its owner closes *container*."""

    container: InputContainer
    stream: AudioStream
    facts: AudioProperties
    remarks: tuple[str, ...]


def probe(file: BinaryIO, *, field: str) -> AudioProperties:
    """Return the facts, from the file's beginning.  Raises UnsupportedAudio, CorruptAudio."""
    audio = inspect(file, field)
    opened = open_part(file, audio, audio.parts[0], field)
    opened.container.close()
    return opened.facts


def inspect(file: BinaryIO, field: str) -> AudioFile:
    """Return what *file* is.  Raises UnsupportedAudio, CorruptAudio."""
    end = file.seek(0, 2)
    kind = detect(file)
    if kind is None:
        if not end:
            raise CorruptAudio(field, "the file is empty")
        rule = f"expected one of: {', '.join(INPUT_FORMATS)}"
        if begins_as_text(file):
            rule += "; this is text (curl sends a file where an @ precedes its path)"
        raise UnsupportedAudio(field, rule, INPUT_FORMATS)
    match kind.demuxer:
        case "mp4":
            return _inspect_mp4(file, kind, end, field)
        case "wav":
            return _inspect_wave(file, kind, end)
        case "ogg":
            links = find_links(file)
            cut_off = None if links[-1].whole else "its last page is missing"
            parts = [Part(link.start, link.end) for link in links]
            return AudioFile(kind, (*parts[:-1], parts[-1]._replace(cut_off=cut_off)))
        case "matroska":
            cut_off = "its last element is not whole" if is_cut_off(file) else None
            return AudioFile(kind, (Part(0, end, cut_off=cut_off, timed=True),))
        case "mp3":
            frames = stated_frames(file)
            return AudioFile(kind, (Part(0, end, guesses=True, mp3_frames=frames),))
    return AudioFile(kind, (Part(0, end, guesses=kind.demuxer == "aac"),))


def _inspect_mp4(file: BinaryIO, kind: Container, end: int, field: str) -> AudioFile:
    tables = read_tables(file)
    if tables.complaint:
        raise CorruptAudio(field, tables.complaint)
    if not tables.indexed:
        raise CorruptAudio(
            field, "it was cut off: the box that says where the sound lies (moov) is missing"
        )
    return AudioFile(kind, (Part(0, end, timed=True, fragmented=tables.fragmented),))


def _inspect_wave(file: BinaryIO, kind: Container, end: int) -> AudioFile:
    length = read_wave_length(file)
    missing = f"its header states {length.missing} bytes more" if length.missing else None
    options = {"max_size": str(_WAVE_PACKET_BYTES)}
    if length.goes_on:
        options["ignore_length"] = "1"
    remarks = []
    if length.goes_on:
        remarks.append("the length in the header is too short: the file was read to its end")
    if length.other:
        remarks.append("a second recording in the file, of another format, was left out")
    return AudioFile(kind, (Part(0, end, options, missing),), tuple(remarks))


class _Source:
    """A part of the caller's file, without the name, which PyAV would put into errors."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        self._file = file
        self._part = part
        self._at = part.start

    def read(self, size: int) -> bytes:
        """Return the next *size* bytes, fewer at the part's end."""
        self._file.seek(self._at)
        data = self._file.read(min(size, self._part.end - self._at))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place of the part, and return it."""
        bases = {io.SEEK_SET: self._part.start, io.SEEK_CUR: self._at, io.SEEK_END: self._part.end}
        self._at = min(max(bases[whence] + offset, self._part.start), self._part.end)
        return self.tell()

    def tell(self) -> int:
        """Return where the next byte lies in the part."""
        return self._at - self._part.start


def _refuse_to_open(url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise ValueError(f"audio files open nothing: {len(url)} characters of address")


def open_part(
    file: BinaryIO, audio: AudioFile, part: Part, field: str, *, strict: bool = False
) -> OpenPart:
    """Open one part of *audio*.  Raises UnsupportedAudio, CorruptAudio.

    *strict*: the codec checks what it can.
    """
    kind = audio.kind
    try:
        container = av.open(
            _Source(file, part),
            "r",
            format=kind.demuxer,
            container_options={**_OPTIONS, **part.options, "format_whitelist": kind.demuxer},
            metadata_errors="replace",
            io_open=_refuse_to_open,
        )
    except FAULTS as exc:
        raise CorruptAudio(field, f"it begins like {kind.name}, but cannot be read") from exc
    try:
        stream = _audio_stream(container, kind, field)
        if strict:
            stream.codec_context.options |= {"err_detect": "crccheck+bitstream+buffer+explode"}
        return OpenPart(
            container,
            stream,
            _facts(container, stream, audio),
            tuple(_left_out(container, stream)),
        )
    except BaseException:
        container.close()
        raise


def _audio_stream(container: InputContainer, kind: Container, field: str) -> AudioStream:
    """Return the track that players would choose, ready to decode; the others are skipped."""
    tracks = container.streams.audio
    if not tracks:
        raise UnsupportedAudio(field, f"there is no audio in this {kind.name} file", INPUT_FORMATS)
    readable = [track for track in tracks if _codec_name(track) in CODECS]
    if not readable:
        names = ", ".join(sorted({_codec_name(track) for track in tracks}))
        raise UnsupportedAudio(
            field, f"its codec, {names}, is not read in {kind.name}", INPUT_FORMATS
        )
    stream = next((track for track in readable if _is_default(track)), readable[0])
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    codec = stream.codec_context
    if codec.sample_rate not in SAMPLE_RATES or not 1 <= codec.channels <= MAX_CHANNELS:
        rates = f"{SAMPLE_RATES[0]}-{SAMPLE_RATES[-1]} Hz and at most {MAX_CHANNELS} channels"
        raise UnsupportedAudio(
            field,
            f"only {rates} are read, not {codec.sample_rate} Hz and {codec.channels} channels",
            INPUT_FORMATS,
        )
    codec.thread_count = 1
    codec.options = {"max_samples": str(MAX_FRAME_SAMPLES)}
    return stream


def _codec_name(stream: AudioStream) -> str:
    codec = stream.codec_context
    return codec.name if codec is not None else "unknown"


def _is_default(stream: AudioStream) -> bool:
    return bool(stream.disposition & Disposition.default)


def _left_out(container: InputContainer, stream: AudioStream) -> list[str]:
    tracks = container.streams.audio
    if len(tracks) < 2:
        return []
    heard = tracks.index(stream) + 1
    return [f"the file has {len(tracks)} audio tracks: only track {heard} was heard"]


def _facts(container: InputContainer, stream: AudioStream, audio: AudioFile) -> AudioProperties:
    codec = stream.codec_context
    name = codec.name.removesuffix("float")
    seconds = _stated_seconds(container, stream) if len(audio.parts) == 1 else None
    return AudioProperties(audio.kind.name, name, codec.sample_rate, codec.channels, seconds)


def _stated_seconds(container: InputContainer, stream: AudioStream) -> float | None:
    """Return how long the track lasts by what the file says, or None if it does not say."""
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    elif tag := stream.metadata.get("DURATION"):
        seconds = _clock_seconds(tag)
    elif container.duration is not None and len(container.streams) == 1:
        seconds = container.duration / av.time_base
    else:
        return None
    return seconds if seconds > 0 else None


def _clock_seconds(text: str) -> float:
    """Return seconds of Matroska's ``00:10:00.064000000``; 0 for anything else."""
    try:
        hours, minutes, seconds = (float(number) for number in text.strip("\0 ").split(":"))
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + seconds
