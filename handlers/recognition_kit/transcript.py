"""The answer to one clip: its text in segments and, if asked for, in words."""

import math
from collections.abc import Sequence

import msgspec


class Word(msgspec.Struct, frozen=True):
    """One word with its punctuation.  Times are in seconds."""

    word: str
    start: float
    end: float
    probability: float


class Segment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stretch of speech.  Times are in seconds.

    *confidence* is exp(mean log-probability of its text's tokens).  *no_speech_prob* is that of the
    piece that contains the segment, or None if the network does not compute it.
    """

    start: float
    end: float
    text: str
    confidence: float
    no_speech_prob: float | None
    words: list[Word] | msgspec.UnsetType = msgspec.UNSET


class Transcript(msgspec.Struct, frozen=True):
    """The transcript of a clip.

    *language_probability* is None unless the language was detected.  *confidence* is the mean of
    the segments' weighted by their length, or None without segments.
    """

    text: str
    segments: list[Segment]
    language: str | None
    language_probability: float | None
    confidence: float | None


def mean_confidence(segments: Sequence[Segment]) -> float | None:
    """Return the mean weighted by length, or the plain mean if all segments have length 0."""
    if not segments:
        return None
    lengths = [segment.end - segment.start for segment in segments]
    if not math.fsum(lengths):
        lengths = [1.0] * len(segments)
    weighted = (one.confidence * length for one, length in zip(segments, lengths, strict=True))
    return round(math.fsum(weighted) / math.fsum(lengths), 4)
