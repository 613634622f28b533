"""The format of an audio file, by its first bytes: FFmpeg is never left to guess.

FFmpeg also reads play lists, scripts and session descriptions, which open other files and
addresses.  Only the formats below are handed to it.
"""

import codecs
from typing import BinaryIO, NamedTuple

HEAD_BYTES = 4096
_WORDS_BYTES = 64  # of a text, enough to tell it from audio
MAX_TAGS = 4  # ID3v2 tags before the audio
_ID3_HEADER_BYTES = 10


class Container(NamedTuple):
    """A format by our name, and by that of FFmpeg's demuxer."""

    name: str
    demuxer: str


_M4A = Container("m4a", "mp4")
_MP4 = Container("mp4", "mp4")
_MP3 = Container("mp3", "mp3")
_AAC = Container("aac", "aac")
_WEBM = Container("webm", "matroska")
_MATROSKA = Container("mkv", "matroska")

_MAGIC = {b"fLaC": Container("flac", "flac"), b"OggS": Container("ogg", "ogg")}
_WAVE = {b"RIFF": Container("wav", "wav"), b"RF64": Container("wav", "wav")}
_EBML = b"\x1a\x45\xdf\xa3"
_SYNC = b"\xff"
_LONGEST_FRAME = 2881  # bytes, of an MP3
_QUICKTIME = {b"moov", b"mdat", b"wide", b"free", b"skip"}  # from before there was ftyp

CONTAINERS = tuple(
    dict.fromkeys((*_WAVE.values(), _MP3, *_MAGIC.values(), _M4A, _MP4, _WEBM, _MATROSKA, _AAC))
)


def detect(file: BinaryIO) -> Container | None:
    """Return the container, or None if it is not supported.  Leaves the file at its beginning."""
    start, head = _behind_tags(file)
    return _after_tags(head) if start else _by_magic(head)


def begins_as_text(file: BinaryIO) -> bool:
    """Return whether *file* begins with words, as no audio does.  Leaves it at its beginning."""
    head = _read(file, 0)[:_WORDS_BYTES]
    file.seek(0)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last may be cut
    except UnicodeDecodeError:
        return False
    return all(each.isprintable() or each.isspace() for each in text)


def stated_frames(file: BinaryIO) -> int:
    """Return how many frames an MP3's first one says that there are; 0 where it does not say.

    Leaves the file at its beginning.
    """
    _, head = _behind_tags(file)
    for mark in (b"Xing", b"Info"):
        place = head.find(mark, 0, _LONGEST_FRAME)
        if place >= 0 and int.from_bytes(head[place + 4 : place + 8]) & 1:
            return int.from_bytes(head[place + 8 : place + 12])
    return 0


def _behind_tags(file: BinaryIO) -> tuple[int, bytes]:
    """Return where the ID3 tags end, and what follows them."""
    start, head = 0, _read(file, 0)
    for _ in range(MAX_TAGS):
        size = _id3_bytes(head)
        if not size:
            break
        start += size
        head = _read(file, start)
    file.seek(0)
    return start, head


def _read(file: BinaryIO, start: int) -> bytes:
    file.seek(start)
    return file.read(HEAD_BYTES)


def _id3_bytes(head: bytes) -> int:
    """Return the length of the ID3v2 tag that *head* begins with; 0: there is none."""
    if len(head) < _ID3_HEADER_BYTES or not head.startswith(b"ID3"):
        return 0
    size = 0
    for byte in head[6:_ID3_HEADER_BYTES]:
        size = size << 7 | byte & 0x7F  # seven bits of each: no byte looks like a frame's sync
    footer = _ID3_HEADER_BYTES if head[5] & 0x10 else 0
    return _ID3_HEADER_BYTES + size + footer


def _by_magic(head: bytes) -> Container | None:
    if head[8:12] == b"WAVE":
        return _WAVE.get(head[:4])
    if head[4:8] == b"ftyp":
        return _M4A if head[8:11] in {b"M4A", b"M4B"} else _MP4
    if head[4:8] in _QUICKTIME:
        return _MP4
    if head.startswith(_EBML):
        return _WEBM if b"webm" in head[:64] else _MATROSKA
    return _MAGIC.get(head[:4]) or _by_frame(head)


def _after_tags(head: bytes) -> Container | None:
    """Return the container of what follows ID3 tags: MP3 above all.

    Players write padding after a tag, so the first frame may come later.
    """
    if head.startswith(b"fLaC"):
        return _MAGIC[b"fLaC"]
    return _by_frame(head[head.find(_SYNC) :]) or _MP3


def _by_frame(head: bytes) -> Container | None:
    """Return MP3 or AAC, which have no magic bytes, if a plausible frame begins here."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:  # ADTS: the layer is 0
        return _AAC if (head[2] >> 2 & 0xF) < 13 else None
    layer_3 = head[1] & 0x06 == 0x02
    version = head[1] & 0x18 != 0x08
    bit_rate, rate = head[2] >> 4, head[2] >> 2 & 3
    return _MP3 if layer_3 and version and bit_rate != 15 and rate != 3 else None
