"""Detects whether a Matroska or WebM file is truncated (RFC 8794, RFC 9559).

FFmpeg reads a truncated file without reporting it.  It stands alone, like `wave_length` and
`ogg_links`, because each container's format is a module.
"""

from typing import BinaryIO

MAX_ELEMENTS = 200_000  # that are looked at: what has more counts as whole
_SEGMENT = 0x18538067
_CLUSTER = 0x1F43B675
_LONGEST_HEAD = 12


def is_cut_off(file: BinaryIO) -> bool:
    """Return whether an element would end after the end of the file.

    Leave the file at its beginning.
    """
    end = file.seek(0, 2)
    position = 0
    cut_off = False
    for _ in range(MAX_ELEMENTS):
        if position >= end:
            break
        file.seek(position)
        head = file.read(_LONGEST_HEAD)
        kind, kind_bytes = _number(head, marked=True)
        size, size_bytes = _number(head[kind_bytes:], marked=False)
        if not kind_bytes or not size_bytes:
            cut_off = True
            break
        position += kind_bytes + size_bytes
        unknown = size == (1 << 7 * size_bytes) - 1
        if not (kind in {_SEGMENT, _CLUSTER} and unknown):  # else its children follow
            if unknown or position + size > end:
                cut_off = True
                break
            position += size
    file.seek(0)
    return cut_off


def _number(data: bytes, *, marked: bool) -> tuple[int, int]:
    """Return an EBML number and its length in bytes, 0 where there is none.

    *marked*: the leading bit, which tells the length, is part of the number.
    """
    if not data or not data[0]:
        return 0, 0
    length = 9 - data[0].bit_length()
    if len(data) < length:
        return 0, 0
    number = int.from_bytes(data[:length])
    return (number if marked else number & (1 << 7 * length) - 1), length
