"""Whether a WAV file's header is right about how much audio there is.

Programs that stream a WAV cannot know its length, and those that crash leave an old one.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

STREAMED_BYTES = 0x7FFF0000  # from here on, and 0: the writer did not know
MIN_REST_BYTES = 4096  # after the audio; less is padding
MAX_CHUNKS = 1000
_UNKNOWN = 0xFFFFFFFF
_TAGS = (b"ID3", b"TAG", b"APE")


class WaveLength(NamedTuple):
    """How the header differs from the file.

    *missing*: bytes that the header states and the file lacks.  *goes_on*: there is more audio
    of the same kind than it states.  *other*: a recording of another kind follows.
    """

    missing: int = 0
    goes_on: bool = False
    other: bool = False


class _Chunk(NamedTuple):
    name: bytes
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size + self.size % 2


def read_wave_length(file: BinaryIO) -> WaveLength:
    """Compare the header of *file* with the file.  Leave the file at its beginning."""
    end = file.seek(0, 2)
    kind, found = None, WaveLength()
    large: int | None = None
    for chunk in _chunks(file, 12, end):
        if chunk.name == b"fmt ":
            kind = _head(file, chunk, 16)
        elif chunk.name == b"ds64":
            large = int.from_bytes(_head(file, chunk, 16)[8:16], "little")
        elif chunk.name == b"data":
            stated = large if large is not None and chunk.size == _UNKNOWN else chunk.size
            found = _compare(file, chunk._replace(size=stated), end, kind, known=large is not None)
            break
    file.seek(0)
    return found


def _compare(
    file: BinaryIO, data: _Chunk, end: int, kind: bytes | None, *, known: bool
) -> WaveLength:
    if not known and not 0 < data.size < STREAMED_BYTES:
        return WaveLength()
    if data.start + data.size > end:
        return WaveLength(missing=data.start + data.size - end)
    position = data.end
    for chunk in _chunks(file, position, end):
        if chunk.name == b"RIFF":
            same = _kind_of(file, chunk, end) == kind
            return WaveLength(goes_on=same, other=not same)
        if not chunk.name.isascii() or not chunk.name.decode().isprintable() or chunk.end > end + 1:
            break
        position = chunk.end
    file.seek(position)
    rest = end - position > MIN_REST_BYTES and not file.read(3).startswith(_TAGS)
    return WaveLength(goes_on=rest)


def _kind_of(file: BinaryIO, riff: _Chunk, end: int) -> bytes | None:
    """Return the beginning of the format chunk of a RIFF file inside this one."""
    for chunk in _chunks(file, riff.start + 4, end):
        if chunk.name == b"fmt ":
            return _head(file, chunk, 16)
    return None


def _chunks(file: BinaryIO, position: int, end: int) -> Iterator[_Chunk]:
    for _ in range(MAX_CHUNKS):
        if position + 8 > end:
            return
        file.seek(position)
        name, size = struct.unpack("<4sI", file.read(8))
        chunk = _Chunk(name, position + 8, size)
        yield chunk
        position = chunk.end


def _head(file: BinaryIO, chunk: _Chunk, count: int) -> bytes:
    file.seek(chunk.start)
    return file.read(count)
