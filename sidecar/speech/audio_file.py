"""Audio files at their door: what they are, and FFmpeg with its hands tied.

FFmpeg is told what kind of file it is, and gets no name, no protocol and no way to open another.
"""

from typing import BinaryIO, NamedTuple, NoReturn

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard

from sidecar.errors import CorruptAudio, UnsupportedAudio
from sidecar.speech.container import CONTAINERS, Container, detect
from sidecar.speech.sample_tables import overfull

INPUT_FORMATS = tuple(container.name for container in CONTAINERS)
SAMPLE_RATES = range(4000, 384_001)
MAX_CHANNELS = 8
MAX_FRAME_SAMPLES = 2**18

_PCM_CODECS = ("u8", "s16le", "s24le", "s32le", "f32le", "f64le", "alaw", "mulaw")
CODECS = frozenset(
    ("mp3", "mp3float", "vorbis", "opus", "flac", "aac", "alac", *map("pcm_{}".format, _PCM_CODECS))
)

# The file's kind is ours to say, so FFmpeg should want to open nothing; these see to it.
_OPTIONS = {
    "protocol_whitelist": "none",
    "codec_whitelist": ",".join(sorted(CODECS)),
    "max_streams": "32",
    "enable_drefs": "0",
    "advanced_editlist": "0",  # edits times samples: a short file could claim any length
}

FAULTS = (FFmpegError, ValueError)  # what PyAV raises about what it reads


class AudioFacts(NamedTuple):
    """What a file says of itself.  *seconds* may be wrong: nothing was decoded."""

    format: str
    codec: str
    sample_rate: int
    channels: int
    seconds: float | None


def probe(file: BinaryIO, *, field: str) -> AudioFacts:
    """The facts, from the file's beginning.  Raises UnsupportedAudio, CorruptAudio."""
    container, _, facts = open_audio(file, field)
    container.close()
    return facts


class _Source:
    """The caller's file without its name, which FFmpeg would keep and PyAV put into errors."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


def _refuse_to_open(url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise ValueError(f"audio files open nothing: {len(url)} characters of address")


def open_audio(
    file: BinaryIO, field: str, *, strict: bool = False
) -> tuple[InputContainer, AudioStream, AudioFacts]:
    """The caller closes the container.  *strict*: the codec checks what it can."""
    kind = _kind(file, field)
    try:
        container = av.open(
            _Source(file),
            "r",
            format=kind.demuxer,
            container_options=_OPTIONS | {"format_whitelist": kind.demuxer},
            metadata_errors="replace",
            io_open=_refuse_to_open,
        )
    except FAULTS as exc:
        raise CorruptAudio(field, f"it begins like {kind.name}, but cannot be read") from exc
    try:
        stream = _audio_stream(container, kind, field)
        if strict:
            stream.codec_context.options |= {"err_detect": "crccheck+bitstream+buffer+explode"}
        return container, stream, _facts(container, stream, kind)
    except BaseException:
        container.close()
        raise


def _kind(file: BinaryIO, field: str) -> Container:
    size = file.seek(0, 2)
    kind = detect(file)
    if kind is None:
        if not size:
            raise CorruptAudio(field, "the file is empty")
        raise UnsupportedAudio(field, f"known are {', '.join(INPUT_FORMATS)}", INPUT_FORMATS)
    if kind.demuxer == "mp4" and overfull(file):
        raise CorruptAudio(field, "its tables claim more than the file can hold")
    return kind


def _audio_stream(container: InputContainer, kind: Container, field: str) -> AudioStream:
    """The first one, ready to decode; the others are skipped."""
    if not container.streams.audio:
        raise UnsupportedAudio(field, f"there is no audio in this {kind.name} file", INPUT_FORMATS)
    stream = container.streams.audio[0]
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    codec = stream.codec_context
    if codec is None or codec.name not in CODECS:
        raise UnsupportedAudio(field, f"its codec is not read in {kind.name}", INPUT_FORMATS)
    if codec.sample_rate not in SAMPLE_RATES or not 1 <= codec.channels <= MAX_CHANNELS:
        rates = f"{SAMPLE_RATES[0]}-{SAMPLE_RATES[-1]} Hz and at most {MAX_CHANNELS} channels"
        raise UnsupportedAudio(field, f"only {rates} are read", INPUT_FORMATS)
    codec.thread_count = 1
    codec.options = {"max_samples": str(MAX_FRAME_SAMPLES)}
    return stream


def _facts(container: InputContainer, stream: AudioStream, kind: Container) -> AudioFacts:
    codec = stream.codec_context
    name = codec.name.removesuffix("float")
    return AudioFacts(
        kind.name, name, codec.sample_rate, codec.channels, _stated_seconds(container, stream)
    )


def _stated_seconds(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        seconds = container.duration / av.time_base
    else:
        return None
    return seconds if seconds > 0 else None
