"""The recordings that follow one another in an Ogg file (RFC 3533, section 4).

Radio stations and jukeboxes chain them.  Each may have another codec, rate and number of channels,
which FFmpeg's demuxer does not take; each is a file of its own, and is read as one.
"""

import re
from typing import BinaryIO, NamedTuple

from sidecar.settings import MB

MAX_LINKS = 1000
BLOCK_BYTES = MB
_HEADER_BYTES = 27
_LARGEST_PAGE = _HEADER_BYTES + 255 + 255 * 255
_FIRST_PAGE = re.compile(rb"OggS\x00[\x02\x03\x06\x07]")  # a stream begins
_LAST = 4  # in a page's flags: the stream ends


class Link(NamedTuple):
    """Bytes *start* to *end* (not included) of the file; *whole*: its last page is there."""

    start: int
    end: int
    whole: bool


def find_links(file: BinaryIO) -> list[Link]:
    """Return the chain's links in order, MAX_LINKS at most; what is beyond belongs to the last.

    Leave the file at its beginning.
    """
    end = file.seek(0, 2)
    starts: list[int] = []
    behind = -1  # where the first page of the stream before ends: streams that go together
    for place in _first_pages(file, end):
        if place != behind and len(starts) < MAX_LINKS:
            starts.append(place)
        behind = _page_end(file, place) or -1
    starts[:1] = [0]
    links = [
        Link(start, stop, _is_whole(file, start, stop))
        for start, stop in zip(starts, [*starts[1:], end], strict=True)
    ]
    file.seek(0)
    return links


def _first_pages(file: BinaryIO, end: int) -> list[int]:
    """Return where each stream begins."""
    found: list[int] = []
    overlap = 5  # a page's head may lie across two blocks
    for start in range(0, end, BLOCK_BYTES):
        file.seek(start)
        block = file.read(BLOCK_BYTES + overlap)
        found += [start + match.start() for match in _FIRST_PAGE.finditer(block)]
    return found


def _page_end(file: BinaryIO, place: int) -> int | None:
    """Return where the page at *place* ends; None where the file ends within its head."""
    file.seek(place)
    head = file.read(_HEADER_BYTES + 255)
    if len(head) < _HEADER_BYTES or len(head) < _HEADER_BYTES + head[26]:
        return None
    segments = head[_HEADER_BYTES : _HEADER_BYTES + head[26]]
    return place + _HEADER_BYTES + len(segments) + sum(segments)


def _is_whole(file: BinaryIO, start: int, end: int) -> bool:
    """Return whether the last page says that it is the last, and is all there."""
    first = max(start, end - 2 * _LARGEST_PAGE)
    file.seek(first)
    tail = file.read(end - first)
    place = tail.rfind(b"OggS")
    if place < 0 or len(tail) < place + 6:
        return False
    stop = _page_end(file, first + place)
    return stop is not None and stop <= end and bool(tail[place + 5] & _LAST)
