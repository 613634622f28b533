"""Audio frames of any rate and layout as s16le, mono, at one rate."""

from collections.abc import Generator, Iterator
from errno import EAGAIN

from av.audio.frame import AudioFrame
from av.error import EOFError as NoMoreFrames
from av.error import FFmpegError
from av.filter import Graph

BYTES_PER_SAMPLE = 2

_Signature = tuple[int, str, str]


def resample(frames: Iterator[AudioFrame | None], sample_rate: int) -> Generator[bytes, None, None]:
    """PCM as soon as there is some; b"" for None, which lets the reader take a breath.

    The frames may change their rate and layout on the way.
    """
    resampler: _Resampler | None = None
    for frame in frames:
        if frame is None:
            yield b""
            continue
        if resampler is None or resampler.signature != _signature(frame):
            if resampler is not None:
                yield resampler.push(None)
            resampler = _Resampler(frame, sample_rate)
        yield resampler.push(frame)
    if resampler is not None:
        yield resampler.push(None)


def _signature(frame: AudioFrame) -> _Signature:
    return frame.sample_rate, frame.format.name, frame.layout.name


class _Resampler:
    """A filter graph of our own: `av.AudioResampler` starts a thread per core for each file."""

    def __init__(self, frame: AudioFrame, sample_rate: int) -> None:
        self.signature = _signature(frame)
        rate, sample_format, layout = self.signature
        self._graph = graph = Graph()
        graph.threads = 1
        source = graph.add(
            "abuffer",
            sample_rate=str(rate),
            sample_fmt=sample_format,
            channel_layout=layout,
            time_base=f"1/{rate}",
        )
        target = graph.add(
            "aformat", sample_rates=str(sample_rate), sample_fmts="s16", channel_layouts="mono"
        )
        graph.link_nodes(source, target, graph.add("abuffersink")).configure()

    def push(self, frame: AudioFrame | None) -> bytes:
        """What *frame* gives; None gives what is left."""
        if frame is not None:
            frame.pts = None  # a damaged file's may be anything
        self._graph.push(frame)
        return b"".join(self._pull())

    def _pull(self) -> Iterator[bytes]:
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
            yield bytes(frame.planes[0])[: BYTES_PER_SAMPLE * frame.samples]
