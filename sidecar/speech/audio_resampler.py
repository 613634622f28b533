"""Audio frames of any rate and layout as planes of floats at one rate."""

from collections.abc import Generator, Iterator
from errno import EAGAIN
from typing import NamedTuple

import numpy as np
from av.audio.frame import AudioFrame
from av.error import EOFError as NoMoreFrames
from av.error import FFmpegError
from av.filter import Graph

from sidecar.speech.downmix import Sound

BYTES_PER_SAMPLE = 4

_Signature = tuple[int, str, str]
_SILENT = ("silence",)


class Pause(NamedTuple):
    """Time in which a track has no sound, in seconds."""

    seconds: float


def resample(
    frames: Iterator[AudioFrame | Pause | None], sample_rate: int
) -> Generator[Sound | None, None, None]:
    """Yield the sound of *frames* as soon as there is some.

    A pause becomes silence, a second at a time.  None stays None, which lets the reader pause.  The
    frames may change their rate and layout on the way.
    """
    resampler: _Resampler | None = None
    for frame in frames:
        if frame is None:
            yield None
            continue
        if resampler is not None and (
            isinstance(frame, Pause) or resampler.signature != _signature(frame)
        ):
            yield resampler.push(None)
            resampler = None
        if isinstance(frame, Pause):
            yield from _silence(round(frame.seconds * sample_rate), sample_rate)
            continue
        if resampler is None:
            resampler = _Resampler(frame, sample_rate)
        yield resampler.push(frame)
    if resampler is not None:
        yield resampler.push(None)


def _silence(samples: int, most: int) -> Iterator[Sound]:
    for start in range(0, samples, most):
        yield Sound(np.zeros((1, min(most, samples - start)), np.float32), _SILENT)


def _signature(frame: AudioFrame) -> _Signature:
    return frame.sample_rate, frame.format.name, frame.layout.name


class _Resampler:
    """A filter graph of our own: `av.AudioResampler` starts a thread per core for each file."""

    def __init__(self, frame: AudioFrame, sample_rate: int) -> None:
        self.signature = _signature(frame)
        rate, sample_format, layout = self.signature
        self._channels = tuple(channel.name for channel in frame.layout.channels)
        self._graph = graph = Graph()
        graph.threads = 1
        source = graph.add(
            "abuffer",
            sample_rate=str(rate),
            sample_fmt=sample_format,
            channel_layout=layout,
            time_base=f"1/{rate}",
        )
        target = graph.add("aformat", sample_rates=str(sample_rate), sample_fmts="flt")
        graph.link_nodes(source, target, graph.add("abuffersink")).configure()

    def push(self, frame: AudioFrame | None) -> Sound:
        """Return what *frame* gives; for None, what is left."""
        if frame is not None:
            frame.pts = None  # a damaged file's may be anything
        self._graph.push(frame)
        count = len(self._channels)
        # Interleaved: PyAV reads beyond the planes of a planar frame with eight channels.
        data = b"".join(
            bytes(piece.planes[0])[: BYTES_PER_SAMPLE * count * piece.samples]
            for piece in self._pull()
        )
        planes = np.frombuffer(data, np.float32).reshape(-1, count).T
        return Sound(planes, self._channels)

    def _pull(self) -> Iterator[AudioFrame]:
        while True:
            try:
                frame = self._graph.pull()
            except NoMoreFrames:
                return
            except FFmpegError as exc:
                if exc.errno != EAGAIN:
                    raise
                return
            assert isinstance(frame, AudioFrame)
            yield frame
