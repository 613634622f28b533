"""The answer to one clip: its text in segments, and in words if asked for."""

import math
from collections.abc import Sequence

import msgspec


class Word(msgspec.Struct, frozen=True):
    """One word with its punctuation; times in seconds."""

    word: str
    start: float
    end: float
    probability: float


class Segment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stretch of speech; times in seconds.

    *confidence* is exp(mean log-probability of its text's tokens).  *no_speech_prob* belongs to the
    piece that the segment lies in, and is None where the network does not tell.
    """

    start: float
    end: float
    text: str
    confidence: float
    no_speech_prob: float | None
    words: list[Word] | msgspec.UnsetType = msgspec.UNSET


class Transcript(msgspec.Struct, frozen=True):
    """What was said.

    *language_probability* is None where the language was not detected.  *confidence* is the mean of
    the segments', weighted by their length, and None where nothing was said.
    """

    text: str
    segments: list[Segment]
    language: str | None
    language_probability: float | None
    confidence: float | None


def mean_confidence(segments: Sequence[Segment]) -> float | None:
    """Return the mean weighted by length, or the plain mean of segments without any length."""
    if not segments:
        return None
    lengths = [segment.end - segment.start for segment in segments]
    if not math.fsum(lengths):
        lengths = [1.0] * len(segments)
    weighted = (one.confidence * length for one, length in zip(segments, lengths, strict=True))
    return round(math.fsum(weighted) / math.fsum(lengths), 4)
