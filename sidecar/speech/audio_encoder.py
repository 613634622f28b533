"""PCM (s16le, mono) as an audio file: whole, or leaving while it is made.

All of this blocks.
"""

import io
from collections.abc import Generator, Mapping
from fractions import Fraction
from functools import partial
from threading import Lock
from typing import NamedTuple, Protocol, Self, cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from sidecar.schemas.synthesis import Quality
from sidecar.speech.output_formats import FileFormat

BYTES_PER_SAMPLE = 2
TURN_SECONDS = 5  # of audio, encoded without a pause for others

# bitexact: no chunk about who wrote the file.
_CONTAINER_OPTIONS = {"flush_packets": "1", "fflags": "+bitexact"}


class EncodedAudio(NamedTuple):
    """A whole file.  *sample_rate* is the file's, which may be above that of the samples."""

    data: bytes
    sample_rate: int


Encoding = Generator[None, None, EncodedAudio]  # a file on its way; `encode_turn` goes on with it


def encoding(pcm: bytes, file_format: FileFormat, sample_rate: int, quality: Quality) -> Encoding:
    """Encode *pcm* as a whole file, with its size and duration in its header.

    Pause after each TURN_SECONDS of audio.
    """
    file = io.BytesIO()
    writer = _Writer(file, file_format, sample_rate, quality, {})
    turn = TURN_SECONDS * BYTES_PER_SAMPLE * sample_rate
    try:
        for start in range(0, len(pcm), turn):
            if start:
                yield None
            writer.write(pcm[start : start + turn])
        writer.flush()
    finally:
        writer.close()
    return EncodedAudio(file.getvalue(), file_format.encoded_rate(sample_rate))


def encode_turn(begun: Encoding) -> EncodedAudio | None:
    """Go on with what has *begun* until its next pause; return the file once it is whole."""
    try:
        next(begun)
    except StopIteration as ended:
        return cast("EncodedAudio", ended.value)
    return None


def encode(pcm: bytes, file_format: FileFormat, sample_rate: int, quality: Quality) -> bytes:
    """Return *pcm* as a whole file, however long that takes."""
    begun = encoding(pcm, file_format, sample_rate, quality)
    while (file := encode_turn(begun)) is None:
        pass
    return file.data


class StreamEncoder:
    """A file whose beginning leaves before its end is known: its header states no duration.

    A context manager; it may be closed while another thread still encodes.  FFmpeg takes about a
    millisecond to `open`; what is encoded first opens it where nobody did.  *input_rate* is that
    of the samples, *sample_rate* that of the file.
    """

    def __init__(self, file_format: FileFormat, sample_rate: int, quality: Quality) -> None:
        self.input_rate = sample_rate
        self.sample_rate = file_format.encoded_rate(sample_rate)
        self._outbox = _Outbox()
        self._open_writer = partial(
            _Writer, self._outbox, file_format, sample_rate, quality, file_format.stream_options
        )
        self._writer: _Writer | None = None
        self._lock = Lock()  # closing a codec while it encodes would crash the process
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Open the codec and the container, before there are samples.  Raises ValueError."""
        with self._lock:
            self._opened()

    def encode(self, pcm: bytes) -> bytes:
        """Encode whole samples, as few or as many as there are; return the bytes that are ready."""
        with self._lock:
            self._opened().write(pcm)
            return self._outbox.take()

    def finish(self) -> bytes:
        """Finish the file and return the rest of it; no more can be encoded."""
        with self._lock:
            self._opened().flush()
            self._close()
            return self._outbox.take()

    def close(self) -> None:
        """Free what FFmpeg holds.  What has not left yet is lost."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._writer is not None:
                self._writer.close()

    def _opened(self) -> "_Writer":
        if self._closed:
            raise ValueError("this encoder is closed")
        if self._writer is None:
            self._writer = self._open_writer()
        return self._writer


class _Target(Protocol):
    def write(self, data: bytes, /) -> int: ...


class _Outbox:
    """Where FFmpeg writes; it has no `seek`, and so FFmpeg never goes back."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, data: bytes, /) -> int:
        self._waiting += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken


class _Writer:
    """The FFmpeg side: frames go into a codec, packets into a container."""

    def __init__(
        self,
        target: _Target,
        file_format: FileFormat,
        sample_rate: int,
        quality: Quality,
        container_options: Mapping[str, str],
    ) -> None:
        options = {**_CONTAINER_OPTIONS, **container_options}
        self._container = av.open(
            target, "w", format=file_format.container, container_options=options
        )
        rate = file_format.encoded_rate(sample_rate)
        codec_options = dict(file_format.codec_options)
        if file_format.frame_seconds is not None:
            codec_options["frame_size"] = str(round(file_format.frame_seconds * rate))
        stream = self._container.add_stream(
            file_format.encoder, rate=rate, options=codec_options, layout="mono"
        )
        assert isinstance(stream, AudioStream)
        stream.codec_context.thread_count = 1
        if file_format.bit_rates:
            stream.codec_context.bit_rate = file_format.bit_rates[quality]
        self._stream = stream
        self._sample_rate = sample_rate
        self._written = 0  # samples
        self._container.start_encoding()

    def write(self, pcm: bytes) -> None:
        piece = BYTES_PER_SAMPLE * self._sample_rate  # a second: hours at once would be copied
        for start in range(0, len(pcm), piece):
            self._container.mux(self._stream.encode(self._frame(pcm[start : start + piece])))

    def flush(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()  # writes the end of the file

    def close(self) -> None:
        self._container.close()

    def _frame(self, pcm: bytes) -> AudioFrame:
        samples = len(pcm) // BYTES_PER_SAMPLE
        frame = AudioFrame(format="s16", layout="mono", samples=samples)
        frame.planes[0].update(pcm)
        frame.sample_rate = self._sample_rate
        frame.time_base = Fraction(1, self._sample_rate)
        frame.pts = self._written
        self._written += samples
        return frame
