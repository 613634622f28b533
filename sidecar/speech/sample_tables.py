"""What an MP4's or a QuickTime file's tables would cost to read, before FFmpeg reads them.

FFmpeg makes an index entry of 24 bytes for each sample that the tables state, so that a file of
1 kB could take 4 GB of memory.  A whole file has at least a byte for each entry, and most have far
more; a file that states more entries than it has bytes is refused.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MAX_BOXES = 200_000
FREE_ENTRIES = 2**18  # any file may state as many: 6 MB
MAX_ENTRIES = 2**23  # 200 MB; two hours of video at 120 frames a second are 2**20
MAX_ROWS = 2**20  # of one table: how many are looked at
PCM_SAMPLES = 1024  # that FFmpeg puts into one entry where a sample lasts one tick
_PARENTS = frozenset(
    b"moov trak mdia minf stbl mvex moof traf edts udta dinf tref wave ilst".split()
)
_HEADER_BYTES = 16
_LARGE_HEADER = 1  # means that the size follows the type, in 64 bits
_TO_THE_END = 0


class Tables(NamedTuple):
    """What the boxes of a file say.

    *complaint* is why FFmpeg must not read them; *indexed* is false where nothing says where the
    samples lie; *fragmented* is true of a file that was written as it was recorded.
    """

    complaint: str | None
    indexed: bool
    fragmented: bool


class _Box(NamedTuple):
    """*start* is where its content begins, *size* is the content's."""

    kind: bytes
    start: int
    size: int


class _Track:
    """The tables of one track, collected as they are read."""

    def __init__(self) -> None:
        self.is_audio = False
        self.samples = 0
        self.one_tick = False
        self.to_chunk: list[tuple[int, int]] = []  # from which chunk on, how many samples in each
        self.chunks = 0

    def take(self, file: BinaryIO, box: _Box) -> None:
        """Read *box* where it tells how many samples there are."""
        match box.kind:
            case b"hdlr":
                self.is_audio |= _bytes(file, box, 8, 4) == b"soun"
            case b"stts":
                self.one_tick = _word(file, box, 1) == 1 == _word(file, box, 3)
            case b"stsz" | b"stz2":
                self.samples = _word(file, box, 2)
            case b"stsc":
                self.to_chunk = _chunk_rows(file, box)
            case b"stco" | b"co64":
                self.chunks = min(_word(file, box, 1), box.size)

    @property
    def entries(self) -> int:
        """How many index entries FFmpeg makes (``mov_build_index`` in libavformat/mov.c)."""
        if not (self.is_audio and self.one_tick):
            return self.samples
        total = 0
        if not self.to_chunk:
            return total
        ends = [first for first, _ in self.to_chunk[1:]] + [self.chunks + 1]
        for (first, count), end in zip(self.to_chunk, ends, strict=True):
            total += max(min(end, self.chunks + 1) - first, 0) * -(-count // PCM_SAMPLES)
        return total


def read_tables(file: BinaryIO) -> Tables:
    """Return what the boxes of *file* say.  Leave the file at its beginning."""
    end = file.seek(0, 2)
    tracks = [_Track()]
    in_fragments = 0
    kinds = set()
    complaint = None
    for number, box in enumerate(_boxes(file, end)):
        kinds.add(box.kind)
        if box.kind == b"trak":
            tracks.append(_Track())
        elif box.kind == b"trun":
            in_fragments += _word(file, box, 1)
        elif box.kind == b"cmov":
            complaint = "its tables are compressed, which is not read"
        elif number >= MAX_BOXES:
            complaint = f"it has more than {MAX_BOXES} boxes"
        else:
            tracks[-1].take(file, box)
        if complaint:
            break
    entries = in_fragments + sum(track.entries for track in tracks)
    if entries > min(max(FREE_ENTRIES, end), MAX_ENTRIES):
        complaint = f"its tables state {entries} samples, more than {end} bytes can hold"
    file.seek(0)
    fragmented = not kinds.isdisjoint({b"mvex", b"moof"})
    return Tables(complaint, fragmented or b"moov" in kinds, fragmented)


def _boxes(file: BinaryIO, end: int) -> Iterator[_Box]:
    """Yield all boxes, parents before their children, until one makes no sense."""
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


def _bytes(file: BinaryIO, box: _Box, at: int, count: int) -> bytes:
    file.seek(box.start + at)
    return file.read(count)


def _word(file: BinaryIO, box: _Box, index: int) -> int:
    """Return the 32-bit word at *index* of the content; 0 if the file ends before."""
    return int.from_bytes(_bytes(file, box, 4 * index, 4))


def _chunk_rows(file: BinaryIO, box: _Box) -> list[tuple[int, int]]:
    """Return each row's first chunk, and how many samples lie in each chunk from there on."""
    rows = min(_word(file, box, 1), box.size // 12, MAX_ROWS)
    table = _bytes(file, box, 8, 12 * rows)
    whole = table[: len(table) // 12 * 12]
    return [(first, count) for first, count, _ in struct.iter_unpack(">III", whole)]
