"""Whether an MP4's tables claim more samples than its bytes could hold.

FFmpeg makes an index entry of 24 bytes for each claimed sample before it reads one, so that a
file of 1 kB could take 4 GB of memory.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MAX_BOXES = 200_000
MIN_SAMPLE_BYTES = 4  # a silent AAC frame has 6
MAX_UNEVENNESS = 4  # chunks of one track differ, but not by the size of the file
_PARENTS = frozenset(
    b"moov trak mdia minf stbl mvex moof traf edts udta dinf tref wave ilst".split()
)
_HEADER_BYTES = 16
_LARGE_HEADER = 1  # a size that says: the size comes behind the type, in 64 bits
_TO_THE_END = 0


class _Box(NamedTuple):
    """*start* is where its content begins, *size* is the content's."""

    kind: bytes
    start: int
    size: int


def overfull(file: BinaryIO) -> bool:
    """Also true of a file with too many boxes.  Leaves the file at its beginning."""
    end = file.seek(0, 2)
    claimed = in_chunk = 0
    for number, box in enumerate(_boxes(file, end)):
        match box.kind:
            case b"stsz" | b"stz2":
                claimed += _word(file, box, 2)
            case b"trun":
                claimed += _word(file, box, 1)
            case b"stsc":
                in_chunk = _fullest_chunk(file, box)
        chunks = _word(file, box, 1) if box.kind in {b"stco", b"co64"} else 0
        too_many = number >= MAX_BOXES or box.kind == b"cmov"  # packed: nobody sees what is in it
        if too_many or claimed * MIN_SAMPLE_BYTES > end or in_chunk * chunks > MAX_UNEVENNESS * end:
            return True
    file.seek(0)
    return False


def _boxes(file: BinaryIO, end: int) -> Iterator[_Box]:
    """All boxes, parents before their children, until one makes no sense."""
    position = 0
    while position < end:
        file.seek(position)
        header = file.read(_HEADER_BYTES).ljust(_HEADER_BYTES, b"\0")
        size, kind, large = struct.unpack(">I4sQ", header)
        start = position + (16 if size == _LARGE_HEADER else 8)
        if size == _LARGE_HEADER:
            size = large
        elif size == _TO_THE_END:
            size = end - position
        if position + size < start:
            return
        yield _Box(kind, start, position + size - start)
        position = start if kind in _PARENTS else position + size


def _word(file: BinaryIO, box: _Box, index: int) -> int:
    """The 32-bit word at *index* of the content; 0 if the file ends before."""
    file.seek(box.start + 4 * index)
    return int.from_bytes(file.read(4))


def _fullest_chunk(file: BinaryIO, box: _Box) -> int:
    """The most samples that a row of the table puts into one chunk."""
    rows = min(_word(file, box, 1), box.size // 12)
    file.seek(box.start + 8)
    table = file.read(12 * rows)
    whole = table[: len(table) // 12 * 12]
    return max((count for _, count, _ in struct.iter_unpack(">III", whole)), default=0)
