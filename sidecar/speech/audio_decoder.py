"""Any audio file that we read, as PCM for recognition: s16le, mono, 16 kHz, in blocks.

All of this blocks.  Memory is bounded however long the audio is.  A damaged or truncated file
gives what can be decoded of it, and warnings about the rest; one of which nothing can be decoded is
CorruptAudio.  Where a track begins late or has a gap, there is silence, so that times are those of
the file.
"""

import math
from collections.abc import Iterator
from threading import Lock
from typing import BinaryIO, NamedTuple, Self

import av
from av.audio.frame import AudioFrame

from sidecar.errors import AudioTooLarge, AudioTooLong, CorruptAudio, UnsupportedAudio
from sidecar.speech.audio_file import (
    FAULTS,
    INPUT_FORMATS,
    MAX_CHANNELS,
    MAX_FRAME_SAMPLES,
    SAMPLE_RATES,
    AudioProperties,
    OpenPart,
    Part,
    inspect,
    open_part,
    probe,
)
from sidecar.speech.audio_resampler import Pause, resample
from sidecar.speech.downmix import to_mono

__all__ = [
    "INPUT_FORMATS",
    "SAMPLE_RATE",
    "AudioDecoder",
    "AudioProperties",
    "DecodingBudget",
    "probe",
]

SAMPLE_RATE = 16000
PADDING_SECONDS = 0.2  # what a codec may add, which is not the recording's length
MISSING_SECONDS = 0.25  # less than was stated: the file was cut off
LATE_SECONDS = 0.02  # a track that begins later begins with silence
GAP_SECONDS = 0.3  # less is the jitter of clocks
UNSTATED_GAP_SECONDS = 60.0  # the longest gap in a file that states no length
TURN_SAMPLES = 4_000_000  # of all channels, decoded in one turn: some 50 ms
EMPTY_PACKET_SAMPLES = 1000  # what a packet that gives nothing costs all the same
OPENING_SAMPLES = 100_000  # what another part costs before anything of it is decoded
MAX_WARNINGS = 20
MP3_SAMPLES = 1152  # in a frame; half of it below the rates of MPEG-1
MPEG_1_RATE = 32000


class DecodingBudget(NamedTuple):
    """What one file may cost: seconds, and samples of all channels at the file's own rate."""

    seconds: float
    samples: float


class AudioDecoder:
    """Decodes one file to PCM, a block at a time; a context manager.

    *strict*: what cannot be decoded is CorruptAudio, and so is a missing end; otherwise `warnings`
    tell of it, which are complete once everything was read.  It may be closed while another thread
    reads.  The file stays the caller's to close.  *max_samples* counts those of all channels, at
    the file's own rate: what decoding costs.  Raises UnsupportedAudio, CorruptAudio; and
    AudioTooLong or AudioTooLarge, at once where the file states its length.
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
        self._file = file
        self._field = field
        self._max_seconds = max_seconds
        self._max_samples = max_samples
        self._strict = strict
        self._block_bytes = 2 * round(block_seconds * SAMPLE_RATE)
        self._audio = inspect(file, field)
        self.warnings = [*self._audio.remarks]
        first, *self._later = self._audio.parts
        self._part = open_part(file, self._audio, first, field, strict=strict)
        self.facts = self._part.facts
        sounds = resample(self._frames(first), SAMPLE_RATE)
        self._pieces = to_mono(sounds, SAMPLE_RATE, block_seconds)
        self._buffer = bytearray()
        self._empty = True
        self._closed = False
        self._work = 0  # samples of all channels, decoded since the last turn began
        self._seconds = 0.0  # decoded so far, silence included
        self._samples = 0  # of all channels, decoded so far
        self._lock = Lock()
        if not first.guesses:
            self._check_stated()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.read, b"")

    def read(self) -> bytes:
        """Return the next block, of which only the last is shorter; after that, ``b""``."""
        while (block := self.read_some()) is None:
            pass
        return block

    def read_some(self) -> bytes | None:
        """Return the next block as `read` does, or None after TURN_SAMPLES of work on it.

        So nobody waits long for the thread, however dense the audio is.
        """
        with self._lock:
            self._work = 0
            if self._closed:
                return b""
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
        """Free what FFmpeg holds."""
        with self._lock:
            self._closed = True
            self._pieces.close()
            self._part.container.close()

    def _next_piece(self) -> bytes | None:
        try:
            return next(self._pieces, None)
        except FAULTS as exc:
            raise CorruptAudio(self._field, "it cannot be decoded") from exc

    def _frames(self, first: Part) -> Iterator[AudioFrame | Pause | None]:
        """Yield the frames of all parts; None for a packet that gave none."""
        yield from self._frames_of(first, self._part)
        for part in self._later:
            self._part.container.close()
            self._work += OPENING_SAMPLES
            try:
                self._part = open_part(
                    self._file, self._audio, part, self._field, strict=self._strict
                )
            except (CorruptAudio, UnsupportedAudio) as exc:
                reason = exc.rule
                self._blame(f"what follows at {self._seconds:.1f} s was left out: {reason}", exc)
                yield None
            else:
                yield from self._frames_of(part, self._part)

    def _frames_of(self, part: Part, opened: OpenPart) -> Iterator[AudioFrame | Pause | None]:
        for remark in opened.remarks:
            self._warn(remark)
        began, silence = self._seconds, 0.0
        track = _Clock(part, opened)
        for frame in self._whole_frames(opened):
            if frame is None:
                self._work += EMPTY_PACKET_SAMPLES
                yield None
                continue
            if not _is_plausible(frame):
                self._blame("its audio changes to what no recording has, and that was left out")
                continue
            if gap := track.gap_before(frame, self._seconds - began):
                silence += gap
                self._seconds += gap
                self._check_length(self._seconds)
                yield Pause(gap)
            work = frame.samples * frame.layout.nb_channels
            self._seconds += frame.samples / frame.sample_rate
            self._samples += work
            self._work += work
            self._check_length(self._seconds)
            self._check_size(self._samples)
            yield frame
        self._judge_end(part, opened, self._seconds - began - silence)

    def _judge_end(self, part: Part, opened: OpenPart, seconds: float) -> None:
        """Warn if the end of *part* is missing; *seconds* of sound were in it."""
        if part.cut_off:
            self._blame(f"it was cut off at {self._seconds:.1f} s: {part.cut_off}")
        elif (stated := _stated_sound(part, opened)) > seconds + MISSING_SECONDS:
            self._blame(f"it ends early: it states {stated:.1f} s, and {seconds:.1f} s are there")

    def _whole_frames(self, opened: OpenPart) -> Iterator[AudioFrame | None]:
        """Yield the frames of all packets; None for one that is damaged, or only begins a frame."""
        packets = opened.container.demux(opened.stream)
        while True:
            try:
                packet = next(packets, None)
            except FAULTS as exc:
                return self._blame(f"it is damaged from {self._seconds:.1f} s on", exc)
            if packet is None:
                return None
            try:
                frames = packet.decode()
            except FAULTS as exc:
                self._blame("it is damaged, and what could not be decoded was left out", exc)
                yield None
            else:
                yield from frames
                if not frames:
                    yield None

    def _blame(self, rule: str, cause: Exception | None = None) -> None:
        """Warn of a fault of the file, or raise CorruptAudio if *strict*."""
        if self._strict:
            raise CorruptAudio(self._field, rule) from cause
        self._warn(rule)

    def _warn(self, sentence: str) -> None:
        if sentence not in self.warnings and len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(sentence)

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


class _Clock:
    """When the frames of a part are heard, by their time stamps."""

    def __init__(self, part: Part, opened: OpenPart) -> None:
        container = opened.container
        self._timed = part.timed
        start = (container.start_time or 0) / av.time_base
        stated = (container.duration or 0) / av.time_base
        # What begins later than it lasts is a piece of something that goes on for ever.
        absolute = not part.fragmented and (stated > 0 or start < UNSTATED_GAP_SECONDS)
        self._zero = 0.0 if absolute and start <= max(stated, UNSTATED_GAP_SECONDS) else start
        self._latest = max(stated, opened.facts.seconds or 0) if stated else math.inf
        self._longest = math.inf if stated else UNSTATED_GAP_SECONDS
        self._first = True

    def gap_before(self, frame: AudioFrame, position: float) -> float:
        """Return how long it is silent before *frame*, where *position* seconds were heard."""
        tolerance, self._first = LATE_SECONDS if self._first else GAP_SECONDS, False
        if not self._timed or frame.time is None:
            return 0.0
        at = frame.time - self._zero
        gap = at - position
        return gap if tolerance < gap <= self._longest and at <= self._latest + 1 else 0.0


def _stated_sound(part: Part, opened: OpenPart) -> float:
    """Return how many seconds of sound *part* should hold; 0 where it does not say exactly."""
    if part.mp3_frames:
        rate = opened.facts.sample_rate
        return part.mp3_frames * (MP3_SAMPLES if rate >= MPEG_1_RATE else MP3_SAMPLES // 2) / rate
    exact = opened.facts.format in {"flac", "m4a", "mp4"}
    return (opened.facts.seconds or 0) if exact else 0


def _is_plausible(frame: AudioFrame) -> bool:
    return (
        0 < frame.samples <= MAX_FRAME_SAMPLES
        and frame.sample_rate in SAMPLE_RATES
        and 1 <= frame.layout.nb_channels <= MAX_CHANNELS
    )
