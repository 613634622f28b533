"""Any audio file that we read, as PCM for recognition: s16le, mono, 16 kHz, in blocks.

All of this blocks.  Memory is bounded however long the audio is.  A damaged or truncated file
gives what can be decoded of it; one of which nothing can is CorruptAudio.  Gaps between time
stamps are closed: what was not recorded takes no time.
"""

import math
from collections.abc import Iterator
from threading import Lock
from typing import BinaryIO, NamedTuple, Self

from av.audio.frame import AudioFrame

from sidecar.errors import AudioTooLarge, AudioTooLong, CorruptAudio
from sidecar.speech.audio_file import (
    FAULTS,
    INPUT_FORMATS,
    MAX_CHANNELS,
    MAX_FRAME_SAMPLES,
    SAMPLE_RATES,
    AudioFacts,
    open_audio,
    probe,
)
from sidecar.speech.audio_resampler import resample

__all__ = ["INPUT_FORMATS", "SAMPLE_RATE", "AudioDecoder", "AudioFacts", "DecodingBudget", "probe"]

SAMPLE_RATE = 16000
PADDING_SECONDS = 0.2  # what a codec may add, which is not the recording's length
MISSING_SECONDS = 0.5  # less than was stated: the file was cut off
TURN_SAMPLES = 4_000_000  # of all channels, decoded in one turn: some 50 ms
EMPTY_PACKET_SAMPLES = 1000  # what a packet that gives nothing costs all the same
_GUESSING = {"mp3", "aac"}  # what they state is a guess from the first frames' bit rate


class DecodingBudget(NamedTuple):
    """What one file may cost: seconds, and samples of all channels at the file's own rate."""

    seconds: float
    samples: float


class AudioDecoder:
    """One file's way to PCM, a block at a time; a context manager.

    *strict*: a packet that cannot be decoded is CorruptAudio, and so is an end before the stated
    one (a WAV states none that FFmpeg would keep).  It may be closed while another thread reads.
    The file stays the caller's to close.  *max_samples* counts those of all channels, at the
    file's own rate: what decoding costs.  Raises UnsupportedAudio, CorruptAudio; and AudioTooLong
    or AudioTooLarge, at once where the file states its length.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        field: str,
        max_seconds: float,
        max_samples: float = math.inf,
        block_seconds: float = 30.0,
        strict: bool = False,
    ) -> None:
        self._field = field
        self._max_seconds = max_seconds
        self._max_samples = max_samples
        self._strict = strict
        self._block_bytes = 2 * round(block_seconds * SAMPLE_RATE)
        self._container, self._stream, self.facts = open_audio(file, field, strict=strict)
        self._pieces = resample(self._frames(), SAMPLE_RATE)
        self._buffer = bytearray()
        self._empty = True
        self._work = 0  # samples of all channels, decoded since the last turn began
        self._lock = Lock()
        if self.facts.format not in _GUESSING:
            self._check_stated()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.read, b"")

    def read(self) -> bytes:
        """The next block; only the last is shorter.  Behind it: b""."""
        while (block := self.read_some()) is None:
            pass
        return block

    def read_some(self) -> bytes | None:
        """The next block, as `read` has it; None when there is more to do for it than TURN_SAMPLES.

        However dense the audio is, nobody else waits long for the thread.
        """
        with self._lock:
            self._work = 0
            while len(self._buffer) < self._block_bytes:
                if self._work > TURN_SAMPLES:
                    return None
                piece = self._next_piece()
                if piece is None:
                    break
                self._buffer += piece
            block = bytes(self._buffer[: self._block_bytes])
            del self._buffer[: len(block)]
            if self._empty and not block:
                raise CorruptAudio(self._field, "not one sample of it can be decoded")
            self._empty = False
            return block

    def close(self) -> None:
        """Frees what FFmpeg holds."""
        with self._lock:
            self._pieces.close()
            self._container.close()

    def _next_piece(self) -> bytes | None:
        try:
            return next(self._pieces, None)
        except FAULTS as exc:
            raise CorruptAudio(self._field, "it cannot be decoded") from exc

    def _frames(self) -> Iterator[AudioFrame | None]:
        """The frames; None for a packet that gave none."""
        seconds, samples = 0.0, 0
        for frame in self._whole_frames():
            if frame is None:
                self._work += EMPTY_PACKET_SAMPLES
                yield None
                continue
            if not _is_plausible(frame):
                self._blame("its audio changes to what no recording has")
                continue
            work = frame.samples * frame.layout.nb_channels
            seconds, samples = seconds + frame.samples / frame.sample_rate, samples + work
            self._work += work
            self._check_length(seconds)
            self._check_size(samples)
            yield frame
        if self._stated_seconds > seconds + MISSING_SECONDS:
            self._blame("it ends early")

    def _whole_frames(self) -> Iterator[AudioFrame | None]:
        """Frames of all packets; None for one that is damaged, or only begins a frame."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except FAULTS as exc:
                return self._blame("it is damaged", exc)
            if packet is None:
                return None
            try:
                frames = packet.decode()
            except FAULTS as exc:
                self._blame("it is damaged", exc)
                yield None
            else:
                yield from frames
                if not frames:
                    yield None

    @property
    def _stated_seconds(self) -> float:
        """By the audio's own header; 0: it says nothing, or guesses."""
        duration, time_base = self._stream.duration, self._stream.time_base
        if self.facts.format in _GUESSING or duration is None or time_base is None:
            return 0
        return float(duration * time_base)

    def _blame(self, rule: str, cause: Exception | None = None) -> None:
        if self._strict:
            raise CorruptAudio(self._field, rule) from cause

    def _check_stated(self) -> None:
        try:
            seconds = self.facts.seconds or 0
            self._check_length(seconds)
            self._check_size(seconds * self.facts.sample_rate * self.facts.channels)
        except (AudioTooLong, AudioTooLarge):
            self.close()
            raise

    def _check_length(self, seconds: float) -> None:
        if seconds > self._max_seconds + PADDING_SECONDS:
            stated = self.facts.seconds
            raise AudioTooLong(self._field, self._max_seconds, stated and round(stated, 3))

    def _check_size(self, samples: float) -> None:
        if samples > self._max_samples:
            raise AudioTooLarge(self._field, self._max_samples)


def _is_plausible(frame: AudioFrame) -> bool:
    return (
        0 < frame.samples <= MAX_FRAME_SAMPLES
        and frame.sample_rate in SAMPLE_RATES
        and 1 <= frame.layout.nb_channels <= MAX_CHANNELS
    )
